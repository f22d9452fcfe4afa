"""A runner that confines nothing and says what it is told to: how a machine without a protection looks to a session."""

# Arguments: the bits to report, then the wiring of runner.cpp, whose sixth and seventh are the pipes.
FAKE_RUNNER = """
import os, struct, sys
bits, commands, answers = (int(sys.argv[i]) for i in (1, 7, 8))
os.write(answers, struct.pack("<II", 0, bits))
while len(head := os.read(commands, 8)) == 8:
    kind, length = struct.unpack("<II", head)
    os.read(commands, length)
    os.write(answers, struct.pack("<II", kind, 1))
"""
