// POST /api/qstash/instagram-ingestion: QStash delivers one event; one SQL function makes it take effect.

import { randomUUID } from "node:crypto";

import { createClient } from "@supabase/supabase-js";
import { Receiver } from "@upstash/qstash";
import * as z from "zod";

import { messageEvent } from "./events";
import { env, log, Refused, serve } from "./server";

const path = "/api/qstash/instagram-ingestion";
const url = env("PUBLIC_URL") + path;
const supabase = createClient(env("SUPABASE_URL"), env("SUPABASE_SERVICE_ROLE_KEY"), {
  auth: { persistSession: false, autoRefreshToken: false },
  // Nothing here opens a WebSocket, which Node.js has by itself from version 22 on.
  realtime: { transport: class {} as never },
});
const receiver = new Receiver({
  currentSigningKey: env("QSTASH_CURRENT_SIGNING_KEY"),
  nextSigningKey: env("QSTASH_NEXT_SIGNING_KEY"),
});
const recorded = z.looseObject({ outcome: z.enum(["new", "resumed", "in_progress", "duplicate", "stale_rules"]) });

serve(path, async (body, headers) => {
  const started = performance.now();
  const signature = headers["upstash-signature"];
  const text = body.toString();
  const isSigned = await receiver.verify({ signature: String(signature), body: text, url, clockTolerance: 5 }).catch(() => false);
  if (!isSigned) throw new Refused(401, "wrong_signature");
  const event = messageEvent.parse(JSON.parse(text));
  const { data, error } = await supabase.rpc("record_event", {
    p_event: event,
    p_via: "queue",
    p_effects: [],
    p_options: {
      lease_token: randomUUID(),
      lease_s: 30,
      reply_match: "first",
      profile_max_age_s: 86_400,
      env_token_for: null,
      env_token: null,
      replies_per_hour: 20,
      app_id: null,
      rules_version: null,
    },
  });
  if (error) throw error;
  const { outcome } = recorded.parse(data);
  const status = outcome === "duplicate" ? "duplicate" : "processed";
  log("Event processed", { event_id: event.event_id, outcome: status, ms: performance.now() - started });
  return { status: 200, body: { status, event_id: event.event_id } };
});
