// Package sensorpb has the messages of the protobuf example. They are generated from sensor.proto.
package sensorpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative sensor.proto
