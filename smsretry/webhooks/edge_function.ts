// An Edge Function of Supabase for Twilio's webhook: copy it to supabase/functions/twilio/index.ts. README.md beside it
// says what it needs.
const env = Deno.env.toObject()
const utf8 = new TextEncoder()
const listed = new Map(Object.entries(JSON.parse(env.TWILIO_AUTH_TOKENS || "{}")))
const own = (account) => account === env.TWILIO_ACCOUNT_SID && env.TWILIO_AUTH_TOKEN
const tokensOf = (account) => [own(account), listed.get(account)].flat().filter(Boolean)
// The project's secret key; or the older service_role key, which Supabase retires by the end of 2026.
const supabaseKey = Object.values(JSON.parse(env.SUPABASE_SECRET_KEYS || "{}"))[0] ?? env.SUPABASE_SERVICE_ROLE_KEY

async function signs(token, text, signature) {
  const key = await crypto.subtle.importKey("raw", utf8.encode(token), { name: "HMAC", hash: "SHA-1" }, false, ["verify"])
  return crypto.subtle.verify("HMAC", key, signature, utf8.encode(text))
}

Deno.serve(async (request) => {
  if (request.method !== "POST") return new Response(null, { status: 405, headers: { Allow: "POST" } })
  if (Number(request.headers.get("content-length")) > 100_000) return new Response(null, { status: 413 })
  const form = Object.fromEntries(new URLSearchParams(await request.text()))
  const { search, searchParams } = new URL(request.url)
  // Twilio signs the URL that it calls, and after it each field's name and value, in the order of the names.
  const signed = env.TWILIO_WEBHOOK_URL + search + Object.keys(form).sort().map((name) => name + form[name]).join("")
  const brought = request.headers.get("x-twilio-signature") ?? ""
  const bytes = /^[A-Za-z0-9+/]{27}=$/.test(brought) ? atob(brought) : ""
  const signature = Uint8Array.from(bytes, (character) => character.charCodeAt(0))
  const fitting = await Promise.all(tokensOf(form.AccountSid).map((token) => signs(token, signed, signature)))
  if (!fitting.includes(true)) return new Response(null, { status: 403 })

  const attempt = searchParams.get("attempt")
  const [name, values] = form.MessageStatus
    ? ["settle_sms_attempt", {
      attempt_id: /^[0-9a-f-]{36}$/i.test(attempt ?? "") ? attempt : null, twilio_sid: form.MessageSid,
      delivery_status: form.MessageStatus, error_code: form.ErrorCode || null, account_sid: form.AccountSid,
    }]
    : ["record_inbound_sms", {
      phone: form.From, twilio_sid: form.MessageSid, opt_out_type: form.OptOutType ?? null,
      body: form.Body?.replaceAll("\0", "") ?? null, // PostgreSQL's text holds no NUL
      to_number: form.To ?? null, messaging_service_sid: form.MessagingServiceSid ?? null, account_sid: form.AccountSid,
    }]
  const answer = await fetch(`${env.SUPABASE_URL}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: supabaseKey, Authorization: `Bearer ${supabaseKey}`, "Content-Type": "application/json",
    },
    body: JSON.stringify(values),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => null)
  if (!answer?.ok) return new Response(null, { status: answer?.status === 400 ? 422 : 503 })
  if (form.MessageStatus) return new Response(null, { status: 204 })
  return new Response("<Response/>", { headers: { "Content-Type": "text/xml" } })
})
