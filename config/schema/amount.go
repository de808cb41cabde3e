package schema

import (
	"cmp"
	"reflect"
	"time"

	"sluice/config/units"
)

// amount is a scalar with a unit, which the tags may bound.
type amount interface {
	set(f Field, text string) (wrong string)
	check(f Field) (wrong string)
	text() string
}

// amountIn returns the amount that v holds, nil when it holds something else.
func amountIn(v reflect.Value) amount {
	switch to := v.Addr().Interface().(type) {
	case *time.Duration:
		return amountOf[time.Duration]{to, units.ParseDuration, "short", "long"}
	case *units.Size:
		return amountOf[units.Size]{to, units.ParseSize, "small", "large"}
	case *units.Rate:
		return amountOf[units.Rate]{to, units.ParseRate, "slow", "fast"}
	case *units.ByteRate:
		return amountOf[units.ByteRate]{to, units.ParseByteRate, "slow", "fast"}
	case *units.Percent:
		return amountOf[units.Percent]{to, units.ParsePercent, "small", "large"}
	case *units.PercentRate:
		return amountOf[units.PercentRate]{to, units.ParsePercentRate, "slow", "fast"}
	}
	return nil
}

type amountOf[T cmp.Ordered] struct {
	to        *T
	parse     func(string) (T, string)
	low, high string // what a value below the least and above the most is too much of
}

func (a amountOf[T]) set(f Field, text string) (wrong string) {
	value, wrong := a.parse(text)
	if wrong == "" {
		wrong = a.beyond(f, value)
	}
	if wrong == "" {
		*a.to = value
	}
	return wrong
}

func (a amountOf[T]) check(f Field) (wrong string) {
	if value, ok := any(*a.to).(interface{ Wrong() string }); ok {
		if wrong := value.Wrong(); wrong != "" {
			return wrong
		}
	}
	return a.beyond(f, *a.to)
}

// beyond returns what is wrong with a value that is beyond the bounds of f, or "".
func (a amountOf[T]) beyond(f Field, value T) (wrong string) {
	var zero T
	least, _ := a.parse(f.Min)
	most, _ := a.parse(f.Max)
	switch {
	case f.Off && value == zero:
	case f.Min != "" && value < least:
		return "is too " + a.low + ": the least is " + f.Min
	case f.Max != "" && value > most:
		return "is too " + a.high + ": the most is " + f.Max
	}
	return ""
}

func (a amountOf[T]) text() string {
	switch value := any(*a.to).(type) {
	case time.Duration:
		return units.DurationText(value)
	case interface{ Text() string }:
		return value.Text()
	}
	return ""
}
