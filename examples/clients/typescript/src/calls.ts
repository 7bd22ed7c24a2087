import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";

import {
  type CreateTaskRequestSchema,
  type CreateTaskResponse_Outcome,
  CreateTaskResponse_OutcomeSchema,
  CreatorService,
} from "./gen/tandem/v1/creator_pb.js";
import { ProcessorService } from "./gen/tandem/v1/processor_pb.js";
import {
  type Task,
  type TaskStatus,
  TaskStatus_StateSchema,
  TaskView,
} from "./gen/tandem/v1/task_pb.js";
import type { Answer, Create, Step, Which } from "./script.js";

type Given<Call> = Extract<Step, { call: Call }>;

export class TaskClient {
  private readonly creator: Client<typeof CreatorService>;
  private readonly processor: Client<typeof ProcessorService>;
  // Ids of tasks by the names of the script, and the first name of each id.
  private readonly ids = new Map<string, string>();
  private readonly names = new Map<string, string>();

  constructor(creator: Transport, processor: Transport, private readonly project: string) {
    this.creator = createClient(CreatorService, creator);
    this.processor = createClient(ProcessorService, processor);
  }

  async run(step: Step): Promise<Answer> {
    switch (step.call) {
      case "CreateTask":
        return this.createTask(step);
      case "BatchCreateTasks":
        return this.batchCreateTasks(step);
      case "GetTask":
        return this.getTask(step);
      case "ListTasks":
        return this.listTasks(step);
      case "LookupTask":
        return this.lookupTask(step);
      case "WatchTask":
        return this.watchTask(step);
      case "StreamCreatedTasks":
        return this.streamCreatedTasks();
      case "CancelTask":
        return this.cancelTask(step);
    }
  }

  private async createTask(given: Create): Promise<Answer> {
    const { outcome, task } = await this.creator.createTask(this.request(given));
    return { outcome: outcomeName(outcome), task: this.note(given.as, task) };
  }

  private async batchCreateTasks(step: Given<"BatchCreateTasks">): Promise<Answer> {
    const { results } = await this.creator.batchCreateTasks({
      requestId: step.request_id,
      requests: step.requests.map((given) => this.request(given)),
    });
    return {
      outcomes: results.map(({ outcome }) => outcomeName(outcome)),
      tasks: results.map(({ task }, i) => this.note(step.requests[i]!.as, task)),
    };
  }

  // The payload is a plain object: protobuf-es takes a Struct so, and answers it so.
  private request(given: Create): MessageInitShape<typeof CreateTaskRequestSchema> {
    const delay = given.start_delay_seconds;
    return {
      requestId: given.request_id,
      spec: {
        project: this.project,
        type: "echo",
        payload: given.payload,
        externalId: given.external_id,
        labels: given.labels,
        title: given.title,
        startDelay: delay ? { seconds: BigInt(delay) } : undefined,
      },
    };
  }

  private async getTask(step: Which): Promise<Answer> {
    const { task } = await this.processor.getTask({ taskId: this.taskId(step) });
    const { externalId, payload } = task!.spec!;
    return { external_id: externalId, payload: payload! };
  }

  private async listTasks(step: Given<"ListTasks">): Promise<Answer> {
    const tasks: string[] = [];
    let pageToken = "";
    let pages = 0;
    do {
      const page = await this.processor.listTasks({
        project: this.project,
        labels: step.labels,
        pageSize: step.page_size,
        pageToken,
      });
      tasks.push(...page.tasks.map(({ taskId }) => this.names.get(taskId)!));
      pageToken = page.nextPageToken;
      pages += 1;
    } while (pageToken);
    return { pages, tasks: tasks.sort() };
  }

  private async lookupTask(step: Given<"LookupTask">): Promise<Answer> {
    const { task } = await this.creator.lookupTask({
      project: this.project,
      externalId: step.external_id,
    });
    return { task: this.names.get(task!.taskId)! };
  }

  private async watchTask(step: Which): Promise<Answer> {
    const request = { taskId: this.taskId(step), view: TaskView.FULL };
    let last: Task | undefined;
    for await (const { task } of this.processor.watchTask(request)) {
      // A message without a task only shows that the stream is alive.
      last = task ?? last;
    }
    const status = last!.status!;
    return { state: stateName(status), result: status.result! };
  }

  private async streamCreatedTasks(): Promise<Answer> {
    const request = { projects: [this.project], untilCaughtUp: true };
    const tasks: string[] = [];
    let token = "";
    for await (const message of this.creator.streamCreatedTasks(request)) {
      tasks.push(...message.taskIds.map((id) => this.names.get(id)!));
      token = message.resumeToken;
    }
    return { tasks: tasks.sort(), resumable: token !== "" };
  }

  private async cancelTask(step: Given<"CancelTask">): Promise<Answer> {
    const { task } = await this.processor.cancelTask({
      taskId: this.taskId(step),
      comment: step.comment,
    });
    return { state: stateName(task!.status!) };
  }

  // Keeps the id under the name, and answers the name under which it was first kept.
  private note(name: string, task: Task | undefined): string {
    const id = task!.taskId;
    this.ids.set(name, id);
    if (!this.names.has(id)) {
      this.names.set(id, name);
    }
    return this.names.get(id)!;
  }

  private taskId(which: Which): string {
    return which.task_id ?? this.ids.get(which.task!)!;
  }
}

// The names of the contract; TypeScript's enums drop the prefix.
function outcomeName(outcome: CreateTaskResponse_Outcome): string {
  return CreateTaskResponse_OutcomeSchema.value[outcome].name;
}

function stateName(status: TaskStatus): string {
  return TaskStatus_StateSchema.value[status.state].name;
}
