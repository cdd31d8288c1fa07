// Package room holds the words of the business: validated names of rooms and people, and the records of who publishes and who watches.
//
// Everybody uses it; it imports nothing of ours. A value of a name type can only be made by its Parse function (or by decoding
// JSON, which parses too), so whoever holds one need not check it again.
package room
