// POST /api/webhooks/instagram: Meta's webhooks, handed on to the internal endpoint.

import { createHmac, timingSafeEqual } from "node:crypto";

import { eventsOf, ingestAnswer, webhook } from "./events";
import { env, log, Refused, serve } from "./server";

const ingestUrl = `${env("PUBLIC_URL")}/api/internal/ingest-event`;
const authorization = `Bearer ${env("INTERNAL_API_SECRET")}`;

function verify(body: Buffer, signature: unknown): void {
  const expected = Buffer.from(`sha256=${createHmac("sha256", env("INSTAGRAM_APP_SECRET")).update(body).digest("hex")}`);
  const given = Buffer.from(typeof signature === "string" ? signature : "");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new Refused(401, "wrong_signature");
}

serve("/api/webhooks/instagram", async (body, headers) => {
  const started = performance.now();
  verify(body, headers["x-hub-signature-256"]);
  const events = eventsOf(webhook.parse(JSON.parse(body.toString())), Date.now());
  const response = await fetch(ingestUrl, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ events }),
  });
  const { results } = ingestAnswer.parse(await response.json());
  const queued = results.filter((each) => each.status !== "failed").length;
  log("Webhook received", { received: events.length, queued, ms: performance.now() - started });
  return { status: queued === events.length ? 200 : 503, body: { received: events.length, queued } };
});
