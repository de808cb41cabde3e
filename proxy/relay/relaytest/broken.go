package relaytest

import (
	"reflect"

	"sluice/proxy/relay/core"
)

// BreakRules makes the next Feed of a side panic, as a bug in the rules of frames would: the
// frame under way has a negative length.
func BreakRules(c core.Core, from core.Side) {
	dir := reflect.ValueOf(c.State).Elem().FieldByName("sides").Index(int(from)).FieldByName("dir")
	*(*int64)(dir.FieldByName("left").Addr().UnsafePointer()) = -1 << 20
	*(*bool)(dir.FieldByName("inside").Addr().UnsafePointer()) = true
}
