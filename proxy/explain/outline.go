package explain

import (
	"sluice/config"
	"sluice/internal/outline"
	"sluice/proxy/translate"
)

// Outline returns what of a configuration decides which sessions live on under it.
func Outline(cfg *config.Config) outline.Outline { return translate.Outline(cfg) }
