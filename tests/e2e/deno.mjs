// As much of Deno as an Edge Function of ours needs, for a Node that has fetch, Request and crypto (18 or later).
import { createServer } from "node:http"

globalThis.Deno = {
  env: { toObject: () => ({ ...process.env }) },
  serve(handler) {
    const server = createServer(async (incoming, outgoing) => {
      const parts = []
      for await (const part of incoming) parts.push(part)
      const { method, headers, url } = incoming
      try {
        const answer = await handler(new Request(`http://localhost${url}`, { method, headers, body: Buffer.concat(parts) }))
        outgoing.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()))
      } catch (error) {
        outgoing.writeHead(500).end(String(error))
      }
    })
    server.listen(0, "127.0.0.1", () => console.log(server.address().port))
  },
}
