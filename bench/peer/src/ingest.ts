// POST /api/internal/ingest-event: events in; QStash makes each durable.

import { timingSafeEqual } from "node:crypto";

import { Client } from "@upstash/qstash";

import { ingestRequest, type MessageEvent, type Result } from "./events";
import { env, log, Refused, serve } from "./server";

const BATCH_SIZE = 100;
const consumerUrl = `${env("PUBLIC_URL")}/api/qstash/instagram-ingestion`;
const failureUrl = `${env("PUBLIC_URL")}/api/qstash/instagram-failure`;
const authorization = Buffer.from(`Bearer ${env("INTERNAL_API_SECRET")}`);
const qstash = new Client({ baseUrl: env("QSTASH_URL"), token: env("QSTASH_TOKEN"), retry: { retries: 1 } });

async function publish(events: MessageEvent[]): Promise<Result[]> {
  const answers = await qstash.batch(
    events.map((event) => ({
      url: consumerUrl,
      body: JSON.stringify(event),
      headers: { "content-type": "application/json" },
      deduplicationId: event.event_id,
      retries: 3,
      timeout: "30s" as const,
      failureCallback: failureUrl,
      label: "instagram-messaging-event",
      flowControl: { key: `ig.${event.account_id}.${event.contact_id}`, parallelism: 1 },
    })),
  );
  return events.map((event, index) => {
    const answer = answers[index] as { messageId: string; deduplicated?: boolean };
    const status = answer.deduplicated ? "deduplicated" : "queued";
    log("Event enqueued", { event_id: event.event_id, message_id: answer.messageId, outcome: status });
    return { event_id: event.event_id, status, via: "queue", message_id: answer.messageId };
  });
}

serve("/api/internal/ingest-event", async (body, headers) => {
  const started = performance.now();
  const given = Buffer.from(headers.authorization ?? "");
  if (given.length !== authorization.length || !timingSafeEqual(given, authorization)) throw new Refused(401, "wrong_secret");
  const request = ingestRequest.parse(JSON.parse(body.toString()));
  const events = "events" in request ? request.events : [request];
  const batches: MessageEvent[][] = [];
  for (let start = 0; start < events.length; start += BATCH_SIZE) batches.push(events.slice(start, start + BATCH_SIZE));
  const results = (await Promise.all(batches.map(publish))).flat();
  log("Events ingested", { events: events.length, ms: performance.now() - started });
  return { status: 200, body: { results } };
});
