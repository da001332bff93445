package figures

import (
	"image/color"
	"strings"
)

// shade is a client's colour: one for a program, lighter for its other settings, grey for what only part of the work costs.
func shade(client string) color.Color {
	switch {
	case client == "tarn":
		return color.RGBA{R: 31, G: 119, B: 180, A: 255}
	case strings.HasPrefix(client, "tarn"):
		return color.RGBA{R: 134, G: 187, B: 216, A: 255}
	case client == "goka":
		return color.RGBA{R: 230, G: 126, B: 34, A: 255}
	case client == "streams":
		return color.RGBA{R: 44, G: 140, B: 80, A: 255}
	case strings.HasPrefix(client, "streams"):
		return color.RGBA{R: 143, G: 204, B: 160, A: 255}
	}
	return color.Gray{Y: 160}
}
