// A route of Next.js for Twilio's webhook: copy it to app/api/twilio/route.ts. README.md beside it says what it needs.
import twilio from "twilio"

const { TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_AUTH_TOKENS, TWILIO_WEBHOOK_URL } = process.env
const { SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY } = process.env
const listed: Record<string, string | string[]> = JSON.parse(TWILIO_AUTH_TOKENS || "{}")

function tokensOf(account: string): string[] {
  const own = account === TWILIO_ACCOUNT_SID ? TWILIO_AUTH_TOKEN : undefined
  return [own, Object.hasOwn(listed, account) ? listed[account] : undefined].flat().filter((token) => !!token) as string[]
}

export async function POST(request: Request): Promise<Response> {
  if (Number(request.headers.get("content-length")) > 100_000) return new Response(null, { status: 413 })
  const form = Object.fromEntries(new URLSearchParams(await request.text()))
  const { search, searchParams } = new URL(request.url)
  const signature = request.headers.get("x-twilio-signature") ?? ""
  const fits = (token: string) => twilio.validateRequest(token, signature, TWILIO_WEBHOOK_URL + search, form)
  if (!tokensOf(form.AccountSid ?? "").some(fits)) return new Response(null, { status: 403 })

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
  const answer = await fetch(`${SUPABASE_URL}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: SUPABASE_SERVICE_ROLE_KEY!, Authorization: `Bearer ${SUPABASE_SERVICE_ROLE_KEY}`,
      "Content-Type": "application/json",
    },
    body: JSON.stringify(values),
    signal: AbortSignal.timeout(10_000),
  }).catch(() => null)
  if (!answer?.ok) return new Response(null, { status: answer?.status === 400 ? 422 : 503 })
  if (form.MessageStatus) return new Response(null, { status: 204 })
  return new Response("<Response/>", { headers: { "Content-Type": "text/xml" } })
}
