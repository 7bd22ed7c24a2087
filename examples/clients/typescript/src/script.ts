import type { JsonObject } from "@bufbuild/protobuf";

// One intended create.
export interface Create {
  as: string;
  request_id?: string;
  external_id?: string;
  labels?: Record<string, string>;
  title?: string;
  payload: JsonObject;
  start_delay_seconds?: number;
}

// One call, and what it is given.
export type Step = { step: string } & (
  | ({ call: "CreateTask" } & Create)
  | { call: "BatchCreateTasks"; request_id: string; requests: Create[] }
  | ({ call: "GetTask" } & Which)
  | { call: "ListTasks"; labels: Record<string, string>; page_size: number }
  | { call: "LookupTask"; external_id: string }
  | ({ call: "WatchTask" } & Which)
  | { call: "StreamCreatedTasks" }
  | ({ call: "CancelTask"; comment: string } & Which)
);

// A task, by a name that an earlier step gave, or by its id.
export interface Which {
  task?: string;
  task_id?: string;
}

export type Answer = JsonObject;
