// Command loadclient is N xDS clients, each on a TCP connection of its own, that
// acknowledge everything at once. It has a server under test change what it serves, and
// prints when all clients have acknowledged what, one JSON object a line.
//
// After each phase (all have started; the changes are over) it waits for a line on its
// standard input, so that whoever runs it can look at the server in between. A server
// without a control is changed by others: the clients follow it until that line comes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"
)

const firstStamp = 2 // resources that have never changed carry 1

var (
	server   = flag.String("server", "", "address of the xDS server")
	orders   = flag.String("control", "", "address on which the server takes commands, if it does")
	streams  = flag.Int("streams", 1, "number of clients")
	atOnce   = flag.Int("at-once", 1000, "number of clients that connect at the same time")
	variant  = flag.String("variant", "delta", "delta or sotw")
	kind     = flag.String("type", "cluster", "cluster (a wildcard) or assignment (names)")
	name     = flag.String("name", "cluster-%05d", "what assignments are called, by number")
	count    = flag.Int("resources", 1, "number of resources that each client will hold")
	changes  = flag.Int("changes", 0, "number of changes, one after the other")
	pause    = flag.Duration("pause", 100*time.Millisecond, "rest before each change")
	rate     = flag.Int("rate", 0, "instead: changes in a second, not waiting for clients")
	patience = flag.Duration("patience", time.Minute, "how long to wait for clients")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "loadclient:", err)
		os.Exit(1)
	}
}

func run() error {
	input := bufio.NewReader(os.Stdin)
	since := time.Now()
	all := openFleet(context.Background(), *streams, *atOnce, *server, wanted())
	result, err := all.awaitStart(since, *count, *patience)
	if *orders == "" {
		go all.followForever()
		return report(result, err, input)
	}
	if err := report(result, err, input); err != nil {
		return err
	}
	told, err := dial(*orders)
	if err != nil {
		return err
	}
	switch {
	case *rate > 0:
		result, err := churn(told, all)
		return report(result, err, input)
	case *changes > 0:
		return changeOneByOne(told, all, input)
	}
	return nil
}

func wanted() interest {
	if *kind == "cluster" {
		return interest{isDelta: *variant == "delta", typeURL: clusterType}
	}
	names := make([]string, *count)
	for number := range names {
		names[number] = fmt.Sprintf(*name, number)
	}
	return interest{isDelta: *variant == "delta", typeURL: assignmentType, names: names}
}

func changeOneByOne(told *control, all *fleet, input *bufio.Reader) error {
	output := json.NewEncoder(os.Stdout)
	for number := range *changes {
		time.Sleep(*pause)
		result, err := change(told, all, "change-"+*kind, firstStamp+uint64(number), *patience)
		if err != nil {
			return err
		}
		if err := output.Encode(result); err != nil {
			return err
		}
	}
	time.Sleep(*pause)
	return report(map[string]string{"event": "over"}, nil, input)
}

func churn(told *control, all *fleet) (churned, error) {
	order := command{Do: "churn", Stamp: firstStamp, Rate: *rate, Changes: *changes}
	if err := told.tell(order); err != nil {
		return churned{}, err
	}
	heard, err := told.hear()
	if err != nil {
		return churned{}, err
	}
	interval := time.Second / time.Duration(*rate)
	return all.awaitChurn(time.Unix(0, heard.Start), firstStamp, *changes, interval, *patience)
}

// report prints what a phase has shown and waits for a line on standard input.
func report(result any, err error, input *bufio.Reader) error {
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return err
	}
	_, err = input.ReadString('\n')
	return err
}
