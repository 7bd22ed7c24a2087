// Runs a script of calls against Tandem, and prints one line of JSON for each step.
//
//	go run . SCRIPT CREATOR_ADDRESS PROCESSOR_ADDRESS PROJECT
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	tandem "example.com/tandemclient/gen/tandem/v1"
)

// The whole script must be done in this time.
const limit = 2 * time.Minute

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: go run . SCRIPT CREATOR_ADDRESS PROCESSOR_ADDRESS PROJECT")
	}
	steps := readScript(os.Args[1])
	c := newClient(dial(os.Args[2]), dial(os.Args[3]), os.Args[4])
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for _, s := range steps {
		got, err := c.run(ctx, s)
		if err != nil {
			got = refusal(err)
		}
		show(s.Step, got)
	}
}

func dial(address string) *grpc.ClientConn {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	return conn
}

func newClient(creator, processor *grpc.ClientConn, project string) *client {
	return &client{
		creator:   tandem.NewCreatorServiceClient(creator),
		processor: tandem.NewProcessorServiceClient(processor),
		project:   project,
		ids:       map[string]string{},
		names:     map[string]string{},
	}
}

// What to branch on: the code of gRPC, and the reason in ErrorInfo. Texts may change.
func refusal(err error) answer {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.Domain == "tandem" {
			return answer{"code": codeNames[status.Code(err)], "reason": info.Reason}
		}
	}
	log.Fatal(err)
	return nil
}

// The names of the contract; Go's own are AlreadyExists and NotFound.
var codeNames = map[codes.Code]string{
	codes.AlreadyExists: "ALREADY_EXISTS",
	codes.NotFound:      "NOT_FOUND",
}

func show(step string, got answer) {
	line, err := json.Marshal(map[string]any{"step": step, "answer": got})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}
