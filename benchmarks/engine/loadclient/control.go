package main

import (
	"encoding/json"
	"errors"
	"net"
	"time"
)

// A control is the connection on which a server under test is told what to do: one JSON
// object a line, answered by one JSON object.
type control struct {
	encoder *json.Encoder
	decoder *json.Decoder
}

type command struct {
	Do      string `json:"do"`
	Stamp   uint64 `json:"stamp"`
	Rate    int    `json:"rate,omitempty"`
	Changes int    `json:"changes,omitempty"`
}

type reply struct {
	Error string `json:"error"`
	Start int64  `json:"start"` // of a churn: nanoseconds since 1970
}

func dial(address string) (*control, error) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &control{json.NewEncoder(connection), json.NewDecoder(connection)}, nil
}

func (c *control) tell(told command) error {
	return c.encoder.Encode(told)
}

func (c *control) hear() (reply, error) {
	var heard reply
	err := c.decoder.Decode(&heard)
	if err == nil && heard.Error != "" {
		err = errors.New(heard.Error)
	}
	return heard, err
}

// change has one resource changed and returns when all streams have acknowledged it.
func change(server *control, f *fleet, do string, stamp uint64, patience time.Duration) (changed, error) {
	since := time.Now()
	if err := server.tell(command{Do: do, Stamp: stamp}); err != nil {
		return changed{}, err
	}
	result, err := f.awaitChange(since, stamp, patience)
	if err != nil {
		return result, err
	}
	_, err = server.hear()
	return result, err
}
