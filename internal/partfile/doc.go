// Package partfile is a file that comes in parts from somewhere else: FILE.part,
// with a journal FILE.part.ranges when it is more than one unit.
//
//	one line of JSON   what is in FILE.part: whose content, its size, the units' size
//	8 bytes a unit     its number and its content's CRC-32C, appended when it is there
//
// A record counts only if the content has its checksum, so neither a lost write
// nor a torn journal is ever taken for content. Who opens a file again finds the
// units that are there, and lets only the others come. The file gets its name
// when it is whole and on the disk; who finds the name finds all of it.
//
// Nothing is locked here: who opens a file has it alone.
package partfile
