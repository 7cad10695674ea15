package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
)

// A command is a line of JSON on the control connection.
type command struct {
	Do        string `json:"do"`
	Clusters  int    `json:"clusters"`
	Endpoints int    `json:"endpoints"`
	Views     int    `json:"views"`
	Stamp     uint64 `json:"stamp"`
	Rate      int    `json:"rate"`
	Changes   int    `json:"changes"`
}

type reply struct {
	Error string `json:"error"`
	Start int64  `json:"start"`
}

// A driver does what it is told to what a store holds.
type driver struct {
	store    store
	clusters int
}

// listen serves one control connection after the other.
func (d *driver) listen(listener net.Listener) error {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return err
		}
		if err := d.converse(connection); err != nil && !errors.Is(err, io.EOF) {
			log.Print(err)
		}
		_ = connection.Close()
	}
}

func (d *driver) converse(connection net.Conn) error {
	decoder, encoder := json.NewDecoder(connection), json.NewEncoder(connection)
	for {
		var told command
		if err := decoder.Decode(&told); err != nil {
			return err
		}
		if told.Do == "churn" {
			start := time.Now()
			if err := encoder.Encode(reply{Start: start.UnixNano()}); err != nil {
				return err
			}
			if err := d.churn(told, start); err != nil {
				return err
			}
			continue
		}
		var answer reply
		if err := d.obey(told); err != nil {
			answer.Error = err.Error()
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
}

func (d *driver) obey(told command) error {
	switch told.Do {
	case "populate":
		d.clusters = told.Clusters
		return d.store.populate(size{told.Clusters, told.Endpoints, told.Views})
	case "change-cluster":
		return d.store.apply([]change{d.change(resource.ClusterType, told.Stamp)})
	case "change-assignment":
		return d.store.apply([]change{d.change(resource.EndpointType, told.Stamp)})
	}
	return fmt.Errorf("no such command: %q", told.Do)
}

// change spreads stamps over the resources: a hash, the same in both servers.
func (d *driver) change(typeURL string, stamp uint64) change {
	number := stamp * 2654435761 % (1 << 32) % uint64(d.clusters)
	return change{typeURL, int(number), stamp}
}

// churn makes one change in each interval, or as many as are due when the store had been
// busy: what a controller does whose changes queue up behind it.
func (d *driver) churn(told command, start time.Time) error {
	interval := time.Second / time.Duration(told.Rate)
	for made := 0; made < told.Changes; {
		time.Sleep(time.Until(start.Add(time.Duration(made) * interval)))
		due := min(int(time.Since(start)/interval)+1, told.Changes)
		newest := map[int]change{}
		for ; made < due; made++ {
			each := d.change(resource.EndpointType, told.Stamp+uint64(made))
			newest[each.number] = each
		}
		batch := make([]change, 0, len(newest))
		for _, each := range newest {
			batch = append(batch, each)
		}
		if err := d.store.apply(batch); err != nil {
			return err
		}
	}
	return nil
}
