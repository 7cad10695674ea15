package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// retryWithin is how soon a refused stream comes back: Envoy's default, with its jitter.
const retryWithin = 500 * time.Millisecond

// A fleet is all streams, and what they have acknowledged.
type fleet struct {
	acks    chan ack
	ended   chan error
	refused atomic.Int64 // streams that ended before their first response
	acked   []uint64     // by stream: the newest stamp
	held    []int        // by stream: resources, each counted as often as it came
}

// openFleet opens the streams, at most `atOnce` at a time.
func openFleet(
	ctx context.Context, streams, atOnce int, server string, wants interest,
) *fleet {
	all := &fleet{
		acks:  make(chan ack, 64*streams),
		ended: make(chan error, streams),
		acked: make([]uint64, streams),
		held:  make([]int, streams),
	}
	turns := make(chan struct{}, atOnce)
	for number := range streams {
		go func() {
			for {
				turns <- struct{}{}
				opened, err := open(ctx, number, server, wants)
				<-turns
				if err == nil {
					err = opened.follow(all.acks)
				}
				if opened == nil || opened.responses > 0 {
					all.ended <- err
					return
				}
				_ = opened.connection.Close()
				all.refused.Add(1)
				time.Sleep(rand.N(retryWithin))
			}
		}()
	}
	return all
}

// next returns the next acknowledgement; it fails when a stream ends or none comes.
func (f *fleet) next(deadline <-chan time.Time) (ack, error) {
	select {
	case each := <-f.acks:
		f.held[each.stream] += each.resources
		each.before = f.acked[each.stream]
		f.acked[each.stream] = max(f.acked[each.stream], each.stamp)
		return each, nil
	case err := <-f.ended:
		return ack{}, err
	case <-deadline:
		return ack{}, fmt.Errorf("not all have acknowledged in time: %s", f.state())
	}
}

// followForever takes every acknowledgement; a stream that ends is the end of all.
func (f *fleet) followForever() {
	for {
		if _, err := f.next(nil); err != nil {
			fmt.Fprintln(os.Stderr, "loadclient:", err)
			os.Exit(1)
		}
	}
}

func (f *fleet) state() string {
	return fmt.Sprintf(
		"stamps from %d to %d, resources from %d to %d, %d refusals",
		slices.Min(f.acked), slices.Max(f.acked), slices.Min(f.held), slices.Max(f.held),
		f.refused.Load(),
	)
}

// started is the event that all streams have acknowledged the initial state.
type started struct {
	Event     string  `json:"event"`
	Seconds   float64 `json:"seconds"`
	Resources int     `json:"resources"`
	Bytes     int     `json:"bytes"`
	Refused   int64   `json:"refused"`
}

// awaitStart returns when each stream holds the expected resources.
func (f *fleet) awaitStart(since time.Time, expected int, patience time.Duration) (started, error) {
	deadline := time.After(patience)
	last, lacking := since, len(f.held)
	result := started{Event: "started"}
	for lacking > 0 {
		each, err := f.next(deadline)
		if err != nil {
			return result, err
		}
		if after := f.held[each.stream]; after >= expected && after-each.resources < expected {
			lacking--
		}
		last = latest(last, each.at)
		result.Resources += each.resources
		result.Bytes += each.bytes
	}
	result.Refused = f.refused.Load()
	result.Seconds = last.Sub(since).Seconds()
	return result, nil
}

// changed is the event that all streams have acknowledged one change.
type changed struct {
	Event   string  `json:"event"`
	Seconds float64 `json:"seconds"`
}

// awaitChange returns when each stream has acknowledged the change with this stamp.
func (f *fleet) awaitChange(since time.Time, stamp uint64, patience time.Duration) (changed, error) {
	deadline := time.After(patience)
	last := since
	for slices.Min(f.acked) < stamp {
		each, err := f.next(deadline)
		if err != nil {
			return changed{}, err
		}
		last = latest(last, each.at)
	}
	return changed{Event: "changed", Seconds: last.Sub(since).Seconds()}, nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
