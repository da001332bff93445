package kafka

import (
	"context"
	"errors"
	"slices"

	"github.com/IBM/sarama"

	"github.com/tarnstream/tarn/state"
)

// GroupMembers names the members of a group by their client ids and hosts, in ascending order. A group that does not exist
// has none. Retriable trouble is tried again until ctx ends.
func (c *Client) GroupMembers(ctx context.Context, group string) (members []string, err error) {
	err = retry(ctx, func() error {
		var res *sarama.DescribeGroupsResponse
		err := c.onCoordinator(ctx, ofGroup(group), use{ForAdmin, nil}, func(b *sarama.Broker) (err error) {
			res, err = b.DescribeGroups(&sarama.DescribeGroupsRequest{Version: 4, Groups: []string{group}})
			return err
		})
		if err != nil {
			return err
		}
		if len(res.Groups) != 1 {
			return errNoAnswer
		}
		g := res.Groups[0]
		err = ofGroup(group).in(codeError(g.Err, "DescribeGroups", "", -1))
		switch {
		case g.Err == sarama.ErrGroupIDNotFound:
			return nil
		case moved(err):
			c.forgetCoordinator(ofGroup(group))
		}
		members = members[:0]
		for _, m := range g.Members {
			members = append(members, m.ClientId+" on "+m.ClientHost)
		}
		slices.Sort(members)
		return err
	})
	return members, err
}

// AllOffsets reads every position that a group has committed, by topic and partition. See CommittedOffsets.
func (c *Client) AllOffsets(ctx context.Context, group string) (found map[string]map[int32]Offset, err error) {
	err = retry(ctx, func() error {
		var res *sarama.OffsetFetchResponse
		err := c.onCoordinator(ctx, ofGroup(group), use{ForAdmin, nil}, func(b *sarama.Broker) (err error) {
			req := sarama.NewOffsetFetchRequest(sarama.V2_5_0_0, group, nil)
			req.RequireStable = true
			res, err = b.FetchOffset(req)
			return err
		})
		if err != nil {
			return err
		}
		found, err = readAllOffsets(res)
		err = ofGroup(group).in(err)
		if moved(err) {
			c.forgetCoordinator(ofGroup(group))
		}
		return err
	})
	return found, err
}

func readAllOffsets(res *sarama.OffsetFetchResponse) (map[string]map[int32]Offset, error) {
	topics := map[string][]int32{}
	for topic, blocks := range res.Blocks {
		for p := range blocks {
			topics[topic] = append(topics[topic], p)
		}
	}
	found, err := readOffsets(res, topics)
	for topic, parts := range found {
		for p, o := range parts {
			if o.Position == state.UnknownOffset {
				delete(parts, p)
			}
		}
		if len(parts) == 0 {
			delete(found, topic)
		}
	}
	return found, err
}

// ErrGroupInUse is what errors.Is matches where a group that was to be deleted has members.
var ErrGroupInUse = errors.New("kafka: the group has members")

// DeleteGroup deletes a group with all that it has committed. One that does not exist is no error; one that has members is left
// as it is, with an error that is ErrGroupInUse.
func (c *Client) DeleteGroup(ctx context.Context, group string) error {
	return retry(ctx, func() error {
		var res *sarama.DeleteGroupsResponse
		err := c.onCoordinator(ctx, ofGroup(group), use{ForAdmin, nil}, func(b *sarama.Broker) (err error) {
			res, err = b.DeleteGroups(&sarama.DeleteGroupsRequest{Version: 1, Groups: []string{group}})
			return err
		})
		if err != nil {
			return err
		}
		code, ok := res.GroupErrorCodes[group]
		err = ofGroup(group).in(codeError(code, "DeleteGroups", "", -1))
		switch {
		case !ok:
			return errNoAnswer
		case code == sarama.ErrGroupIDNotFound:
			return nil
		case code == sarama.ErrNonEmptyGroup:
			return errors.Join(ErrGroupInUse, err)
		case moved(err):
			c.forgetCoordinator(ofGroup(group))
		}
		return err
	})
}
