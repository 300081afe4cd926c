// Twilio's webhook. Copy it to supabase/functions/twilio/index.ts, or into a project of Next.js to app/api/twilio/route.ts.
// README.md beside it says what it needs.
type Environment = Record<string, string | undefined>
declare const Deno: { env: { toObject(): Environment }; serve(handler: (request: Request) => Promise<Response>): unknown } | undefined
declare const process: { env: Environment }

const env = typeof Deno === "undefined" ? process.env : Deno.env.toObject()
const listed: Record<string, string | string[]> = JSON.parse(env.TWILIO_AUTH_TOKENS || "{}")
const projectKeys: Record<string, string> = JSON.parse(env.SUPABASE_SECRET_KEYS || "{}")
const supabaseKey = Object.values(projectKeys)[0] || env.SUPABASE_SECRET_KEY || env.SUPABASE_SERVICE_ROLE_KEY || ""
// A secret key (sb_secret_…) is no token, and belongs in this header alone: https://supabase.com/docs/guides/api/api-keys
const access: Record<string, string> = { apikey: supabaseKey }
if (!supabaseKey.startsWith("sb_")) access.Authorization = `Bearer ${supabaseKey}`

const longest = 100_000
const utf8 = new TextEncoder()
const hashes: Record<string, string | undefined> = { HMAC_SHA1: "SHA-1", HMAC_SHA256: "SHA-256" }

function secretsOf(account: string): string[] {
  const own = account === env.TWILIO_ACCOUNT_SID ? env.TWILIO_AUTH_TOKEN : undefined
  const more = Object.hasOwn(listed, account) ? listed[account] : undefined
  return [own, more].flat().filter((secret): secret is string => !!secret)
}

// Twilio signs the address as it is written, or with the usual port, or without one.
function spellings(address: string): string[] {
  const port = address.startsWith("https:") ? ":443" : ":80"
  return [
    address,
    address.replace(/^(https?:\/\/[^/:]+):\d+/, "$1"),
    address.replace(/^(https?:\/\/[^/:]+)(?=\/|$)/, `$1${port}`),
  ]
}

async function signs(secret: string, hash: string, text: string, signature: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), { name: "HMAC", hash }, false, ["verify"])
  return crypto.subtle.verify("HMAC", key, signature, utf8.encode(text))
}

async function isTwilios(request: Request, form: Record<string, string>): Promise<boolean> {
  // A shared key signs by the algorithm that this header names: https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys
  const settings = request.headers.get("x-twilio-webhooks-signature-settings") ?? ""
  const hash = hashes[/(?:^|,)\s*algorithm=\s*([^,\s]+)/.exec(settings)?.[1] ?? "HMAC_SHA1"]
  const brought = request.headers.get("x-twilio-signature") ?? ""
  if (!hash || !/^([A-Za-z0-9+/]{27}|[A-Za-z0-9+/]{43})=$/.test(brought)) return false
  const signature = Uint8Array.from(atob(brought), (character) => character.charCodeAt(0))
  // It signs the address that it calls, and after it each field's name and value, in the order of the names.
  const fields = Object.keys(form).sort().map((name) => name + form[name]).join("")
  const rest = new URL(request.url).search + fields
  const addresses = (env.TWILIO_WEBHOOK_URL ?? "").split(/\s+/).filter(Boolean).flatMap(spellings)
  const checks = secretsOf(form.AccountSid ?? "").flatMap((secret) =>
    addresses.map((address) => signs(secret, hash, address + rest, signature))
  )
  return (await Promise.all(checks)).includes(true)
}

export async function POST(request: Request): Promise<Response> {
  const refuse = (status: number) => new Response(null, { status })
  if (request.method !== "POST") return new Response(null, { status: 405, headers: { Allow: "POST" } })
  const kind = (request.headers.get("content-type") ?? "").replace(/;.*/, "").trim().toLowerCase()
  if (kind !== "application/x-www-form-urlencoded") return refuse(415)
  if (Number(request.headers.get("content-length")) > longest) return refuse(413)
  const posted = await request.text()
  if (posted.length > longest) return refuse(413)
  const pairs = Array.from(new URLSearchParams(posted))
  const form = Object.fromEntries(pairs)
  if (pairs.length !== Object.keys(form).length) return refuse(400)
  if (!(await isTwilios(request, form))) return refuse(403)

  const isReport = !!form.MessageSid && !!form.MessageStatus
  const isText = !!form.MessageSid && !!form.From && ["received", "receiving"].includes(form.SmsStatus ?? "received")
  if (!isReport && !isText) return refuse(422)
  const attempt = new URL(request.url).searchParams.get("attempt") ?? ""
  const [name, values] = isReport
    ? ["settle_sms_attempt", {
      attempt_id: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(attempt) ? attempt : null,
      twilio_sid: form.MessageSid, delivery_status: form.MessageStatus, error_code: form.ErrorCode || null,
      account_sid: form.AccountSid,
    }]
    : ["record_inbound_sms", {
      phone: form.From, twilio_sid: form.MessageSid, opt_out_type: form.OptOutType ?? null,
      body: form.Body?.replaceAll("\0", "") ?? null, // PostgreSQL's text holds no NUL
      to_number: form.To ?? null, messaging_service_sid: form.MessagingServiceSid ?? null, account_sid: form.AccountSid,
    }]
  const answer = await fetch(`${env.SUPABASE_URL?.replace(/\/+$/, "")}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: { ...access, "Content-Type": "application/json", "Content-Profile": "public" },
    body: JSON.stringify(values),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => null)
  if (!answer?.ok) return refuse(answer?.status === 400 ? 422 : 503)
  if (isReport) return new Response(null, { status: 204 })
  return new Response("<Response/>", { headers: { "Content-Type": "text/xml" } })
}

if (typeof Deno !== "undefined") Deno.serve(POST)
