"""Calls the service of echo.proto by grpcio: client.py ADDRESS [AUTHORITY].

Messages are written by hand, so that nothing but grpcio is needed.
"""

import queue
import sys

import grpc

PATIENCE = 20


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def word(text="", count=0):
    """A `Word` as bytes."""
    text = text.encode()
    out = b"\x0a" + varint(len(text)) + text if text else b""
    return out + (b"\x10" + varint(count) if count else b"")


address = sys.argv[1]
options = [("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20)]
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    channel = grpc.secure_channel(address, credentials, options)
else:
    channel = grpc.insecure_channel(address, options)
grpc.channel_ready_future(channel).result(PATIENCE)

unary = channel.unary_unary("/conformance.Echo/Unary")
down = channel.unary_stream("/conformance.Echo/Down")
up = channel.stream_unary("/conformance.Echo/Up")
both = channel.stream_stream("/conformance.Echo/Both")
silence = channel.unary_unary("/conformance.Echo/Silence")
fail = channel.unary_stream("/conformance.Echo/Fail")


def fails(code, call):
    try:
        result = call()
    except grpc.RpcError as error:
        assert error.code() == code, error
        return error
    raise AssertionError(f"{result!r} instead of {code}")


# Unary, with metadata.
metadata = [("x-echo", "as it came"), ("x-echo-bin", b"\0\xff")]
answer, call = unary.with_call(word("hello"), timeout=PATIENCE, metadata=metadata)
assert answer == word("hello"), answer
back = dict(call.initial_metadata())
assert back["x-echo"] == "as it came" and back["x-echo-bin"] == b"\0\xff", back
assert call.code() == grpc.StatusCode.OK

# Streams: down, up, and both word for word.
words = list(down(word("w" * 1000, 500), timeout=PATIENCE))
assert len(words) == 500 and words[7] == word("w" * 1000, 7)
text = "".join(chr(97 + n % 26) for n in range(300))
assert up((word(one) for one in text), timeout=PATIENCE) == word(text, 300)
sent = queue.Queue()
answers = both(iter(sent.get, None), timeout=PATIENCE)
for n in range(1, 20):
    sent.put(word("ping", n))
    assert next(answers) == word("ping", n)
sent.put(None)
assert list(answers) == [] and answers.code() == grpc.StatusCode.OK

# A deadline, before and after the head.
fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: silence(word(), timeout=0.3))
sent = queue.Queue()
answers = both(iter(sent.get, None), timeout=0.5)
fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(answers))
sent.put(None)

# Cancellation.
sent = queue.Queue()
answers = both(iter(sent.get, None), timeout=PATIENCE)
sent.put(word("one"))
assert next(answers) == word("one")
answers.cancel()
fails(grpc.StatusCode.CANCELLED, lambda: next(answers))
sent.put(None)

# Metadata within the limits, and above.
large = [("x-echo-large", "m" * (48 << 10))]
answer, call = unary.with_call(word(), timeout=PATIENCE, metadata=large)
assert len(dict(call.initial_metadata())["x-echo-large"]) == 48 << 10
try:
    unary(word(), timeout=PATIENCE, metadata=[("x-echo-large", "m" * (64 << 10))])
    raise AssertionError("metadata above the limit passed")
except grpc.RpcError as error:
    refused = error.code()
assert refused not in (grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN), refused

# Errors of the service, with their details, before and after a word.
for text in ["", "a word"]:
    call = fail(word(text, 9), timeout=PATIENCE)
    if text:
        assert next(call) == word(text, 9)
    error = fails(grpc.StatusCode.FAILED_PRECONDITION, lambda: next(call))
    assert error.details() == "failed as asked: \u00e4\u00f6%", error.details()
    trailing = dict(error.trailing_metadata())
    assert trailing["x-echo"] == "trailing" and trailing["grpc-status-details-bin"]

# What no service knows, and then another call.
unknown = channel.unary_unary("/conformance.Echo/Unknown")
fails(grpc.StatusCode.UNIMPLEMENTED, lambda: unknown(word(), timeout=PATIENCE))
assert unary(word("after"), timeout=PATIENCE) == word("after")
channel.close()
