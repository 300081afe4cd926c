// What the hosted application does to tables, by its own client. Prints one JSON array: what each call came to.
const { createClient } = require('@supabase/supabase-js')
const [url, key] = process.argv.slice(2)
const gateway = (address, options) => fetch(address.toString().replace(`${url}/rest/v1`, url), options)
const realtime = { transport: class {} } // Node before version 22 has no WebSocket, and none is needed
const client = createClient(url, key, { auth: { persistSession: false }, global: { fetch: gateway }, realtime })
const letters = () => client.from('letters')
const told = ({ data, error, status, count }) => [status, error ? error.code : data, count]

async function main() {
  const calls = [
    () => letters().insert({ id: 1, word: 'one' }),
    () => letters().insert({ id: 2, word: 'two' }).select('id,word').single(),
    () => letters().insert([{ id: 3, word: 'three' }, { id: 4, word: 'four', read: true }]).select('id,read'),
    () => letters().insert({ id: 1, word: 'again' }),
    () => letters().update({ word: 'due' }).eq('id', 2).select('word').single(),
    () => letters().update({ word: 'x' }).eq('id', 9).select().single(),
    () => letters().upsert({ id: 2, word: 'deux' }, { onConflict: 'id' }).select('word'),
    () => letters().upsert([{ id: 2, word: 'x' }, { id: 5, word: 'five' }], { ignoreDuplicates: true }).select('id'),
    () => letters().select('id,word').in('id', [1, 2, 9]).order('id', { ascending: false }),
    () => letters().select('id').is('read', null).gt('id', 1).order('id').limit(2),
    () => letters().select('id').not('word', 'ilike', '%O%').neq('id', 3).order('id').range(0, 0),
    () => letters().select('*', { count: 'exact', head: true }).gte('id', 2),
    () => letters().select('id').like('word', 'f%').order('id'),
    () => letters().select('id').eq('id', 9).maybeSingle(),
    () => letters().select('id').single(),
    () => letters().delete().eq('id', 1),
    () => letters().delete().eq('id', 3).select('id'),
    () => client.from('letterz').select(),
    () => client.from('letters').select('nix'),
  ]
  const answers = []
  for (const call of calls) answers.push(told(await call()))
  console.log(JSON.stringify(answers))
}
main()
