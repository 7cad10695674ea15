package main

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// A path names the nested field that carries a resource's stamp: the number of the
// change that made it what it is.
type path []protowire.Number

var stamps = map[string]path{
	clusterType:    {4, 2},       // Cluster.connect_timeout.nanos
	assignmentType: {2, 2, 4, 1}, // endpoints[0].lb_endpoints[0].load_balancing_weight
}

// A summary is what the client needs of a response. Nothing is decoded that it does not
// need, so that the machine is left to the server.
type summary struct {
	version   string
	nonce     string
	resources int
	stamp     uint64 // the newest
}

// summarize reads a DiscoveryResponse or, if isDelta, a DeltaDiscoveryResponse.
func summarize(message []byte, stampPath path, isDelta bool) (summary, error) {
	body := path{2} // Any.value
	if isDelta {
		body = path{2, 2} // Resource.resource.value
	}
	stampPath = append(body, stampPath...)
	var result summary
	err := eachField(message, func(number protowire.Number, value []byte, _ uint64) bool {
		switch number {
		case 1: // version_info, system_version_info
			result.version = string(value)
		case 2: // resources
			result.resources++
			result.stamp = max(result.stamp, leaf(value, stampPath))
		case 5: // nonce
			result.nonce = string(value)
		}
		return true
	})
	return result, err
}

// leaf returns the number at the end of a path that takes the first of repeated fields,
// or 0 where there is none.
func leaf(message []byte, steps path) (result uint64) {
	_ = eachField(message, func(number protowire.Number, value []byte, varint uint64) bool {
		if number != steps[0] {
			return true
		}
		result = varint
		if len(steps) > 1 {
			result = leaf(value, steps[1:])
		}
		return false
	})
	return result
}

// eachField calls visit with the content of each field until it returns false.
func eachField(
	message []byte, visit func(number protowire.Number, value []byte, varint uint64) bool,
) error {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return fmt.Errorf("a response that is none: %w", protowire.ParseError(length))
		}
		message = message[length:]
		var value []byte
		var varint uint64
		switch kind {
		case protowire.BytesType:
			value, length = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			varint, length = protowire.ConsumeVarint(message)
		default:
			length = protowire.ConsumeFieldValue(number, kind, message)
		}
		if length < 0 {
			return fmt.Errorf("a response that is none: %w", protowire.ParseError(length))
		}
		message = message[length:]
		if !visit(number, value, varint) {
			return nil
		}
	}
	return nil
}
