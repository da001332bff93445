package kafka

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/IBM/sarama"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// decompressor unfolds what batches were compressed to, up to sarama.MaxDecompressedBatchSize. Many goroutines may use it.
type decompressor struct{ gzip, lz4, zstd sync.Pool }

var errTooLarge = errors.New("it is more than sarama.MaxDecompressedBatchSize")

func (d *decompressor) unfold(codec sarama.CompressionCodec, in []byte) (out []byte, err error) {
	most := int(sarama.MaxDecompressedBatchSize)
	if most <= 0 {
		most = math.MaxInt32
	}
	switch codec {
	case sarama.CompressionNone:
		return in, nil
	case sarama.CompressionGZIP:
		out, err = d.unzip(in, most)
	case sarama.CompressionSnappy:
		out, err = unsnap(in, most)
	case sarama.CompressionLZ4:
		out, err = d.unlz4(in, most)
	case sarama.CompressionZSTD:
		out, err = d.unzstd(in, most)
	default:
		return nil, fmt.Errorf("its compression %d is not known", int8(codec))
	}
	if err == nil && len(out) > most {
		err = errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", codec, err)
	}
	return out, nil
}

// readMost reads all, but no more than a byte too much.
func readMost(r io.Reader, most int) ([]byte, error) {
	return io.ReadAll(io.LimitReader(r, int64(most)+1))
}

func (d *decompressor) unzip(in []byte, most int) ([]byte, error) {
	r, ok := d.gzip.Get().(*gzip.Reader)
	if !ok {
		r = new(gzip.Reader)
	}
	defer d.gzip.Put(r)
	if err := r.Reset(bytes.NewReader(in)); err != nil {
		return nil, err
	}
	return readMost(r, most)
}

func (d *decompressor) unlz4(in []byte, most int) ([]byte, error) {
	r, ok := d.lz4.Get().(*lz4.Reader)
	if !ok {
		r = lz4.NewReader(nil)
	}
	defer d.lz4.Put(r)
	r.Reset(bytes.NewReader(in))
	return readMost(r, most)
}

func (d *decompressor) unzstd(in []byte, most int) ([]byte, error) {
	r, ok := d.zstd.Get().(*zstd.Decoder)
	if !ok {
		var err error
		if r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(most))); err != nil {
			return nil, err
		}
	}
	defer d.zstd.Put(r)
	out, err := r.DecodeAll(in, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = errTooLarge
	}
	return out, err
}

// unsnap takes both forms that producers write, with xerial's frames and without. What frames come to is not known before.
func unsnap(in []byte, most int) ([]byte, error) {
	if !bytes.HasPrefix(in, xerialMagic()) {
		n, err := s2.DecodedLen(in)
		if err != nil || n > min(most, mostSnapped*len(in)) {
			return nil, cmp.Or(err, errTooLarge)
		}
		return s2.Decode(make([]byte, n), in)
	}
	for size := min(4*len(in)+64, most); ; size = min(2*size, most) {
		out, err := xerial.DecodeCapped(make([]byte, 0, size), in)
		if !errors.Is(err, xerial.ErrDstTooSmall) {
			return out, err
		}
		if size == most {
			return nil, errTooLarge
		}
	}
}

// mostSnapped is how much a byte can unfold to at most: three are a copy of 64.
const mostSnapped = 22

// xerialMagic begins what has xerial's frames.
func xerialMagic() []byte { return []byte("\x82SNAPPY\x00") }
