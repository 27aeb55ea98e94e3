// The events that travel from function to function: the same JSON as lib/events/model.py, messages alone.

import * as z from "zod";

const id = z.string().min(1).max(512);
const milliseconds = z.number().int().min(0).max(4_102_444_800_000);

export const messageEvent = z.object({
  event_id: z.string().regex(/^[!-~]{1,512}$/),
  account_id: id,
  contact_id: id,
  occurred_at: milliseconds,
  received_at: milliseconds,
  raw: z.record(z.string(), z.unknown()),
  mid: id,
  text: z.string().optional(),
  attachments: z.array(z.record(z.string(), z.unknown())).optional(),
  kind: z.literal("message"),
});
export type MessageEvent = z.infer<typeof messageEvent>;

export const ingestRequest = z.union([z.object({ events: z.array(messageEvent).max(1000) }), messageEvent]);

export const result = z.object({
  event_id: z.string(),
  status: z.enum(["queued", "deduplicated", "failed"]),
  via: z.literal("queue").optional(),
  message_id: z.string().optional(),
});
export type Result = z.infer<typeof result>;

export const ingestAnswer = z.object({ results: z.array(result) });

const item = z.looseObject({
  sender: z.object({ id }),
  recipient: z.object({ id }),
  timestamp: milliseconds,
  message: z.looseObject({ mid: id, text: z.string().optional(), attachments: messageEvent.shape.attachments }),
});

export const webhook = z.object({
  object: z.literal("instagram"),
  entry: z.array(z.object({ id, time: z.number(), messaging: z.array(item) })).max(1000),
});

export function eventsOf(body: z.infer<typeof webhook>, receivedAt: number): MessageEvent[] {
  return body.entry.flatMap((entry) =>
    entry.messaging.map((raw) => ({
      event_id: `ig_msg_${raw.message.mid}`,
      account_id: entry.id,
      contact_id: raw.sender.id,
      occurred_at: raw.timestamp,
      received_at: receivedAt,
      raw,
      mid: raw.message.mid,
      text: raw.message.text,
      attachments: raw.message.attachments,
      kind: "message" as const,
    })),
  );
}
