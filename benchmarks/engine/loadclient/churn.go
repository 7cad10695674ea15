package main

import (
	"slices"
	"time"
)

// churned is the event that a time of many changes is over and all are acknowledged.
//
// A lag is the time from when a change was due, however late the server was to make it,
// until the last stream has acknowledged it or a later state of the same resource.
type churned struct {
	Event     string  `json:"event"`
	Changes   int     `json:"changes"`
	Responses int     `json:"responses"`
	Resources int     `json:"resources"`
	LagP50    float64 `json:"lag_p50"`
	LagP99    float64 `json:"lag_p99"`
	LagMost   float64 `json:"lag_most"`
	LagFirst  float64 `json:"lag_first"` // the median of the first fifth of the changes
	LagLast   float64 `json:"lag_last"`  // and of the last
}

// awaitChurn returns when all streams have acknowledged the changes from `first` on, of
// which one was due in each interval since the start.
func (f *fleet) awaitChurn(
	start time.Time, first uint64, changes int, interval, patience time.Duration,
) (churned, error) {
	deadline := time.After(time.Duration(changes)*interval + patience)
	result := churned{Event: "churned", Changes: changes}
	newest := first + uint64(changes) - 1
	lasts := make([]time.Time, changes) // the acknowledgement of the last stream
	for slices.Min(f.acked) < newest {
		each, err := f.next(deadline)
		if err != nil {
			return result, err
		}
		for stamp := max(each.before+1, first); stamp <= min(each.stamp, newest); stamp++ {
			lasts[stamp-first] = latest(lasts[stamp-first], each.at)
		}
		result.Responses++
		result.Resources += each.resources
	}
	lags := make([]float64, changes)
	for number, last := range lasts {
		due := start.Add(time.Duration(number) * interval)
		lags[number] = last.Sub(due).Seconds()
	}
	result.LagFirst = quantile(lags[:(changes+4)/5], 0.5)
	result.LagLast = quantile(lags[changes-(changes+4)/5:], 0.5)
	result.LagP50 = quantile(lags, 0.5)
	result.LagP99 = quantile(lags, 0.99)
	result.LagMost = quantile(lags, 1)
	return result, nil
}

// quantile returns the smallest value that is at least as large as the share q of them.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
