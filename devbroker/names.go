package devbroker

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// names reports whether a request names a topic or group; the empty name is in every request.
func names(req kmsg.Request, name string) bool {
	return name == "" || slices.Contains(namesOf(req), name)
}

// nameTopics puts the names beside the ids by which newer fetches ask.
func nameTopics(c *kfake.Cluster, f *kmsg.FetchRequest) {
	for i := range f.Topics {
		t := &f.Topics[i]
		if t.Topic != "" {
			continue
		}
		if info := c.TopicIDInfo(t.TopicID); info != nil {
			t.Topic = info.Topic
		}
	}
}

func namesOf(req kmsg.Request) []string {
	switch r := req.(type) {
	case *kmsg.JoinGroupRequest:
		return []string{r.Group}
	case *kmsg.SyncGroupRequest:
		return []string{r.Group}
	case *kmsg.HeartbeatRequest:
		return []string{r.Group}
	case *kmsg.LeaveGroupRequest:
		return []string{r.Group}
	case *kmsg.FindCoordinatorRequest:
		return append(r.CoordinatorKeys, r.CoordinatorKey)
	case *kmsg.OffsetCommitRequest:
		return append(topicNames(r.Topics, func(t kmsg.OffsetCommitRequestTopic) string { return t.Topic }), r.Group)
	case *kmsg.OffsetFetchRequest:
		return offsetFetchNames(r)
	case *kmsg.TxnOffsetCommitRequest:
		return append(topicNames(r.Topics, func(t kmsg.TxnOffsetCommitRequestTopic) string { return t.Topic }), r.Group, r.TransactionalID)
	case *kmsg.AddOffsetsToTxnRequest:
		return []string{r.Group, r.TransactionalID}
	case *kmsg.EndTxnRequest:
		return []string{r.TransactionalID}
	case *kmsg.AddPartitionsToTxnRequest:
		return append(topicNames(r.Topics, func(t kmsg.AddPartitionsToTxnRequestTopic) string { return t.Topic }), r.TransactionalID)
	}
	return dataNames(req)
}

func dataNames(req kmsg.Request) []string {
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		return topicNames(r.Topics, func(t kmsg.ProduceRequestTopic) string { return t.Topic })
	case *kmsg.FetchRequest:
		return topicNames(r.Topics, func(t kmsg.FetchRequestTopic) string { return t.Topic })
	case *kmsg.ListOffsetsRequest:
		return topicNames(r.Topics, func(t kmsg.ListOffsetsRequestTopic) string { return t.Topic })
	case *kmsg.CreateTopicsRequest:
		return topicNames(r.Topics, func(t kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	case *kmsg.MetadataRequest:
		return topicNames(r.Topics, func(t kmsg.MetadataRequestTopic) string {
			if t.Topic == nil {
				return ""
			}
			return *t.Topic
		})
	case *kmsg.InitProducerIDRequest:
		if r.TransactionalID != nil {
			return []string{*r.TransactionalID}
		}
	}
	return nil
}

func offsetFetchNames(r *kmsg.OffsetFetchRequest) []string {
	all := append(topicNames(r.Topics, func(t kmsg.OffsetFetchRequestTopic) string { return t.Topic }), r.Group)
	for _, g := range r.Groups {
		all = append(all, g.Group)
		all = append(all, topicNames(g.Topics, func(t kmsg.OffsetFetchRequestGroupTopic) string { return t.Topic })...)
	}
	return all
}

func topicNames[T any](topics []T, name func(T) string) []string {
	all := make([]string, 0, len(topics)+2)
	for _, t := range topics {
		all = append(all, name(t))
	}
	return all
}
