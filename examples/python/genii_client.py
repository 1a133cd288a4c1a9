"""A client of a genii household, over what grpcio-tools makes of genii.proto.

    with Genii.tls("mainpc:7421", household="household.crt", server_name="mainpc.genii.internal",
                   token=os.environ["GENII_TOKEN"]) as genii:
        house = genii.ask("core/system-digital-twin", "twin.describe_house")

Contents are whatever json can write. Nothing is sent twice: messages are handled at most once.
"""

import json

import grpc
from genii.v1 import genii_pb2 as v1
from genii.v1 import genii_pb2_grpc
from google.rpc import status_pb2

# The longest message, in bytes, with what stands around it.
MESSAGE_MAX_LEN = (64 << 20) + (4 << 10)

# How long an answer is waited for, in seconds, unless a call says otherwise.
ASK_TIMEOUT = 30.0

# How much later gRPC's own deadline is, in seconds, so that the node can say why there is no answer.
GRACE = 2.0


class Refused(Exception):
    """The agent handled the message and said no. `content` is what it said."""

    def __init__(self, content):
        super().__init__(f"refused: {json.dumps(content)}")
        self.content = content


class Failed(Exception):
    """The message was not answered, or the caller was not let in.

    `code` is that of gRPC, `fault` and `denied` are the details of genii, where there are any.
    """

    def __init__(self, error):
        super().__init__(error.details())
        self.code = error.code()
        self.fault = _detail(error, v1.Fault)
        self.denied = _detail(error, v1.Denied)


def _detail(error, kind):
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                found = kind()
                if detail.Unpack(found):
                    return found
    return None


class Genii:
    """A connection to a node of a household."""

    def __init__(self, channel, token=None):
        self._channel = channel
        self._stub = genii_pb2_grpc.GeniiStub(channel)
        self._metadata = [("authorization", f"Bearer {token}")] if token else []

    @classmethod
    def tls(cls, at, household, server_name, token):
        """Connects to `host:port`, and takes nobody for the household but who it has signed for."""
        with open(household, "rb") as file:
            credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
        options = _options() + [("grpc.ssl_target_name_override", server_name)]
        return cls(grpc.secure_channel(at, credentials, options=options), token)

    @classmethod
    def unix(cls, socket):
        """Connects to the genii of the owner of this process, at `clients.sock` in its data folder."""
        # Otherwise gRPC calls the node by the path of the socket, which is no name of a host in HTTP/2.
        options = _options() + [("grpc.default_authority", "localhost")]
        return cls(grpc.insecure_channel(f"unix:{socket}", options=options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the connection, and all calls that are under way."""
        self._channel.close()

    def ask(self, to, message, content=None, timeout=ASK_TIMEOUT):
        """Asks an agent, and waits for its answer. Raises `Refused` or `Failed`."""
        request = v1.AskRequest(
            to=to, message=message, payload=_payload(content), timeout_ms=_millis(timeout)
        )
        reply = self._call(self._stub.Ask, request, timeout)
        if reply.WhichOneof("outcome") == "refusal":
            raise Refused(json.loads(reply.refusal.json))
        return json.loads(reply.reply.json)

    def tell(self, to, message, content=None, timeout=ASK_TIMEOUT):
        """Tells an agent something. Raises `Failed` if it cannot be delivered."""
        request = v1.TellRequest(
            to=to, message=message, payload=_payload(content), timeout_ms=_millis(timeout)
        )
        self._call(self._stub.Tell, request, timeout)

    def stream(self, to, message, content=None, item_timeout=ASK_TIMEOUT):
        """Asks an agent for many answers, and yields them. Closed early, it tells the agent to stop."""
        request = v1.StreamRequest(
            to=to, message=message, payload=_payload(content), timeout_ms=_millis(item_timeout)
        )
        for reply in self._many(self._stub.Stream, request):
            said = reply.WhichOneof("said")
            if said == "refusal":
                raise Refused(json.loads(reply.refusal.json))
            if said == "reply":
                return json.loads(reply.reply.json)
            yield json.loads(reply.item.json)
        return None

    def subscribe(self, *patterns):
        """Yields what is published about topics. It is heard from when this returns."""
        replies = self._many(self._stub.Subscribe, v1.SubscribeRequest(patterns=patterns))
        # The first thing that is said is that it is heard from now on.
        next(replies)
        return (reply for reply in replies)

    def publish(self, topic, content=None, timeout=ASK_TIMEOUT):
        """Publishes something about a topic, and says whom it has reached."""
        request = v1.PublishRequest(
            topic=topic, json=json.dumps(content), timeout_ms=_millis(timeout)
        )
        return self._call(self._stub.Publish, request, timeout)

    def describe(self, name="", schemas=False, timeout=ASK_TIMEOUT):
        """Yields the agents that may be reached, with their messages."""
        after, more = "", True
        while more:
            request = v1.DescribeRequest(name=name, schemas=schemas, after=after)
            reply = self._call(self._stub.Describe, request, timeout)
            yield from reply.agents
            more = reply.more
            after = reply.agents[-1].address if reply.agents else after

    def watch(self, name="", start=0, follow=False):
        """Yields what happened to agents, from the event `start` on."""
        request = v1.WatchRequest(name=name, follow=follow, **{"from": start})
        yield from self._many(self._stub.Watch, request)

    def _call(self, method, request, timeout):
        try:
            return method(request, timeout=timeout + GRACE, metadata=self._metadata)
        except grpc.RpcError as error:
            raise Failed(error) from None

    def _many(self, method, request):
        replies = method(request, metadata=self._metadata)
        try:
            yield from replies
        except grpc.RpcError as error:
            raise Failed(error) from None
        finally:
            replies.cancel()


def _millis(timeout):
    # Nothing at all would be the usual time of the node.
    return max(1, int(timeout * 1000))


def _payload(content):
    return None if content is None else v1.Payload(json=json.dumps(content))


def _options():
    return [
        ("grpc.max_receive_message_length", MESSAGE_MAX_LEN),
        ("grpc.max_send_message_length", MESSAGE_MAX_LEN),
        # Tries again by itself only to connect, and never to send what may have arrived.
        ("grpc.enable_retries", 0),
    ]
