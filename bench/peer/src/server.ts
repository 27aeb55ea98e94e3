// One route on node:http, as a function instance serves it: JSON in, JSON out, one log line a request.

import { createServer, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export type Answer = { status: number; body: unknown };
export type Handler = (body: Buffer, headers: IncomingHttpHeaders) => Promise<Answer>;

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
  ) {
    super(code);
  }
}

export function env(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
}

export function log(message: string, fields: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), level: "info", message, ...fields })}\n`);
}

export function serve(path: string, handle: Handler): void {
  const server = createServer(async (request, response) => {
    const answer = await answerTo(request, path, handle);
    response.writeHead(answer.status, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(JSON.stringify(answer.body));
  });
  server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
    console.log(`listening on ${(server.address() as AddressInfo).port}`);
  });
}

async function answerTo(request: IncomingMessage, path: string, handle: Handler): Promise<Answer> {
  try {
    if (request.url !== path || request.method !== "POST") throw new Refused(404, "not_found");
    return await handle(await read(request), request.headers);
  } catch (error) {
    const refused = error instanceof Refused ? error : undefined;
    const code = refused?.code ?? (error instanceof Error && error.name === "ZodError" ? "invalid_payload" : "failed");
    const status = refused?.status ?? (code === "invalid_payload" ? 400 : 500);
    log("Request failed", { path, status, code });
    return { status, body: { error: { code, status } } };
  }
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
