package main

import (
	"encoding/json"
	"log"
	"os"
)

// One call, and what it is given.
type step struct {
	Step     string
	Call     string
	Task     string   // a name that an earlier step gave
	TaskID   string   `json:"task_id"`
	Requests []create // of a batch
	Comment  string
	PageSize int32 `json:"page_size"`
	create         // of a single task; ids and labels also say what to find
}

// One intended create.
type create struct {
	As                string
	RequestID         string `json:"request_id"`
	ExternalID        string `json:"external_id"`
	Labels            map[string]string
	Title             string
	Payload           map[string]any
	StartDelaySeconds int64 `json:"start_delay_seconds"`
}

func readScript(path string) []step {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	var script struct{ Steps []step }
	if err := json.Unmarshal(text, &script); err != nil {
		log.Fatal(err)
	}
	return script.Steps
}
