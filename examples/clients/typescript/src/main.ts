// Runs a script of calls against Tandem, and prints one line of JSON for each step.
//
//   node dist/main.js SCRIPT CREATOR_ADDRESS PROCESSOR_ADDRESS PROJECT
import { readFileSync } from "node:fs";

import { Code, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { TaskClient } from "./calls.js";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import type { Answer, Step } from "./script.js";

// The names of the contract; Connect's own are AlreadyExists and NotFound.
const CODE_NAMES: Partial<Record<Code, string>> = {
  [Code.AlreadyExists]: "ALREADY_EXISTS",
  [Code.NotFound]: "NOT_FOUND",
};

// What to branch on: the code of gRPC, and the reason in ErrorInfo. Texts may change.
function refusal(error: unknown): Answer {
  if (error instanceof ConnectError) {
    for (const info of error.findDetails(ErrorInfoSchema)) {
      if (info.domain === "tandem") {
        return { code: CODE_NAMES[error.code] ?? Code[error.code], reason: info.reason };
      }
    }
  }
  throw error;
}

function transport(address: string) {
  return createGrpcTransport({ baseUrl: `http://${address}`, defaultTimeoutMs: 60_000 });
}

const [script, creator, processor, project] = process.argv.slice(2);
if (!script || !creator || !processor || !project) {
  throw new Error("usage: node dist/main.js SCRIPT CREATOR_ADDRESS PROCESSOR_ADDRESS PROJECT");
}
const client = new TaskClient(transport(creator), transport(processor), project);
const { steps } = JSON.parse(readFileSync(script, "utf8")) as { steps: Step[] };
for (const step of steps) {
  const answer = await client.run(step).catch(refusal);
  console.log(JSON.stringify({ step: step.step, answer }));
}
