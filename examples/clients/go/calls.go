package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	tandem "example.com/tandemclient/gen/tandem/v1"
)

type answer map[string]any

type client struct {
	creator   tandem.CreatorServiceClient
	processor tandem.ProcessorServiceClient
	project   string
	ids       map[string]string // of tasks, by the names of the script
	names     map[string]string // the first name of each id
}

func (c *client) run(ctx context.Context, s step) (answer, error) {
	switch s.Call {
	case "CreateTask":
		return c.createTask(ctx, s.create)
	case "BatchCreateTasks":
		return c.batchCreateTasks(ctx, s)
	case "GetTask":
		return c.getTask(ctx, s)
	case "ListTasks":
		return c.listTasks(ctx, s)
	case "LookupTask":
		return c.lookupTask(ctx, s)
	case "WatchTask":
		return c.watchTask(ctx, s)
	case "StreamCreatedTasks":
		return c.streamCreatedTasks(ctx)
	case "CancelTask":
		return c.cancelTask(ctx, s)
	}
	return nil, fmt.Errorf("the script has a call that this client does not know: %s", s.Call)
}

func (c *client) createTask(ctx context.Context, given create) (answer, error) {
	request, err := c.request(given)
	if err != nil {
		return nil, err
	}
	got, err := c.creator.CreateTask(ctx, request)
	if err != nil {
		return nil, err
	}
	name := c.note(given.As, got.Task.TaskId)
	return answer{"outcome": got.Outcome.String(), "task": name}, nil
}

func (c *client) batchCreateTasks(ctx context.Context, s step) (answer, error) {
	batch := &tandem.BatchCreateTasksRequest{RequestId: s.RequestID}
	for _, given := range s.Requests {
		request, err := c.request(given)
		if err != nil {
			return nil, err
		}
		batch.Requests = append(batch.Requests, request)
	}
	got, err := c.creator.BatchCreateTasks(ctx, batch)
	if err != nil {
		return nil, err
	}
	outcomes, names := []string{}, []string{}
	for i, result := range got.Results {
		outcomes = append(outcomes, result.Outcome.String())
		names = append(names, c.note(s.Requests[i].As, result.Task.TaskId))
	}
	return answer{"outcomes": outcomes, "tasks": names}, nil
}

// structpb.NewStruct takes a plain map, and refuses what is no JSON.
func (c *client) request(given create) (*tandem.CreateTaskRequest, error) {
	payload, err := structpb.NewStruct(given.Payload)
	if err != nil {
		return nil, err
	}
	spec := &tandem.TaskSpec{
		Project:    c.project,
		Type:       "echo",
		Payload:    payload,
		ExternalId: given.ExternalID,
		Labels:     given.Labels,
		Title:      given.Title,
	}
	if given.StartDelaySeconds > 0 {
		spec.StartDelay = durationpb.New(time.Duration(given.StartDelaySeconds) * time.Second)
	}
	return &tandem.CreateTaskRequest{RequestId: given.RequestID, Spec: spec}, nil
}

func (c *client) getTask(ctx context.Context, s step) (answer, error) {
	got, err := c.processor.GetTask(ctx, &tandem.GetTaskRequest{TaskId: c.taskID(s)})
	if err != nil {
		return nil, err
	}
	spec := got.Task.Spec
	return answer{"external_id": spec.ExternalId, "payload": spec.Payload.AsMap()}, nil
}

func (c *client) listTasks(ctx context.Context, s step) (answer, error) {
	request := &tandem.ListTasksRequest{Project: c.project, Labels: s.Labels, PageSize: s.PageSize}
	names := []string{}
	for pages := 1; ; pages++ {
		page, err := c.processor.ListTasks(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, task := range page.Tasks {
			names = append(names, c.names[task.TaskId])
		}
		if request.PageToken = page.NextPageToken; request.PageToken == "" {
			slices.Sort(names)
			return answer{"pages": pages, "tasks": names}, nil
		}
	}
}

func (c *client) lookupTask(ctx context.Context, s step) (answer, error) {
	request := &tandem.LookupTaskRequest{Project: c.project, ExternalId: s.ExternalID}
	got, err := c.creator.LookupTask(ctx, request)
	if err != nil {
		return nil, err
	}
	return answer{"task": c.names[got.Task.TaskId]}, nil
}

func (c *client) watchTask(ctx context.Context, s step) (answer, error) {
	request := &tandem.WatchTaskRequest{TaskId: c.taskID(s), View: tandem.TaskView_TASK_VIEW_FULL}
	stream, err := c.processor.WatchTask(ctx, request)
	if err != nil {
		return nil, err
	}
	var last *tandem.Task
	err = each(stream, func(got *tandem.WatchTaskResponse) {
		// A message without a task only shows that the stream is alive.
		if got.Task != nil {
			last = got.Task
		}
	})
	if err != nil {
		return nil, err
	}
	return answer{"state": last.Status.State.String(), "result": last.Status.Result.AsMap()}, nil
}

func (c *client) streamCreatedTasks(ctx context.Context) (answer, error) {
	request := &tandem.StreamCreatedTasksRequest{Projects: []string{c.project}, UntilCaughtUp: true}
	stream, err := c.creator.StreamCreatedTasks(ctx, request)
	if err != nil {
		return nil, err
	}
	names, token := []string{}, ""
	err = each(stream, func(got *tandem.StreamCreatedTasksResponse) {
		for _, id := range got.TaskIds {
			names = append(names, c.names[id])
		}
		token = got.ResumeToken
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	return answer{"tasks": names, "resumable": token != ""}, nil
}

func (c *client) cancelTask(ctx context.Context, s step) (answer, error) {
	request := &tandem.CancelTaskRequest{TaskId: c.taskID(s), Comment: s.Comment}
	got, err := c.processor.CancelTask(ctx, request)
	if err != nil {
		return nil, err
	}
	return answer{"state": got.Task.Status.State.String()}, nil
}

// Reads a stream to its end.
func each[T any](stream grpc.ServerStreamingClient[T], read func(*T)) error {
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		read(message)
	}
}

// Keeps the id under the name, and answers the name under which it was first kept.
func (c *client) note(name, id string) string {
	c.ids[name] = id
	if _, known := c.names[id]; !known {
		c.names[id] = name
	}
	return c.names[id]
}

func (c *client) taskID(s step) string {
	if s.TaskID != "" {
		return s.TaskID
	}
	return c.ids[s.Task]
}
