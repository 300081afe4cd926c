// As much of Next.js as a route of ours needs: it names one function for each method, and any other method gets 405.
import { createServer } from "node:http"
import { pathToFileURL } from "node:url"

const route = await import(pathToFileURL(process.argv[2]))
const server = createServer(async (incoming, outgoing) => {
  const parts = []
  for await (const part of incoming) parts.push(part)
  const { method, headers, url } = incoming
  const handler = route[method]
  if (!handler) return outgoing.writeHead(405).end()
  try {
    const answer = await handler(new Request(`http://localhost${url}`, { method, headers, body: Buffer.concat(parts) }))
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()))
  } catch (error) {
    outgoing.writeHead(500).end(String(error))
  }
})
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
