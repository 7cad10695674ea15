"""The joint between the two protobuf libraries: merging messages as bytes.

A fragment is the encoding of part of a message. The wire format says that
concatenating encodings of one message type is the encoding of their merge: of a
singular scalar the last one counts, singular messages are merged field by field,
repeated fields are appended (protobuf.dev, "Encoding: Last One Wins").

So what people design (the policy of a cluster) is authored with envoy-data-plane,
typed and checked, and encoded once; what grows with the mesh (names, addresses) is
encoded by xds-protos in C; and `merge` joins the two for the price of copying bytes.

The rule for authors: the fragments of a message share no singular field, members of a
oneof included. Then the order of fragments means nothing to whoever decodes them.
"""

from google.protobuf.message import Message


def encode(message: Message) -> bytes:
    """Return *message* as bytes, equal for equal messages in every process."""
    return message.SerializeToString(deterministic=True)


def merge(*fragments: bytes) -> bytes:
    """Return the encoding of the merge of *fragments*, all of one message type."""
    return b"".join(fragments)
