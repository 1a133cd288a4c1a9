"""A client in Python: asks, streams and subscribes. `examples/python/run.sh` runs it."""

import os

from genii_client import Failed, Genii, Refused


def main():
    with Genii.tls(
        os.environ["GENII_AT"],
        household=os.environ["GENII_HOUSEHOLD"],
        server_name=os.environ["GENII_SERVER_NAME"],
        token=os.environ["GENII_TOKEN"],
    ) as genii:
        look_around(genii)
        ask(genii)
        stream(genii)
        subscribe(genii)
    owner()
    nobody()
    print("done")


def look_around(genii):
    for agent in genii.describe():
        names = ", ".join(message.name for message in agent.messages)
        print(f"{agent.address} on {agent.node} is {agent.state}: {names}")


def ask(genii):
    house = genii.ask("core/system-digital-twin", "twin.describe_house")
    print(f"the twin knows of {len(house['agents'])} agents")
    # On the other machine, by the same line of code.
    report = {"agent": "core/system-digital-twin", "message": "the example was here"}
    number = genii.ask("pc2-core/unified-error", "errors.report", report)
    print(f"it is error {number}")
    try:
        genii.ask("pc2-core/unified-error", "errors.show", {"id": 4711})
        raise AssertionError("there is no such error")
    except Refused as refused:
        print(f"as was to be expected, {refused}")
    try:
        genii.ask("core/system-digital-twim", "twin.describe_house")
        raise AssertionError("there is no such agent")
    except Failed as failed:
        assert failed.fault.not_found.nearest == "core/system-digital-twin", failed.fault
        print(f"as was to be expected: {failed}")


def stream(genii):
    looks = 0
    for machine in genii.stream("pc2-core/resource-manager", "resources.watch", {"looks": 3}):
        looks += 1
        print(f"{machine['memory_available'] >> 20} MiB of memory are free")
    assert looks == 3, looks


def subscribe(genii):
    news = genii.subscribe("world.updates.*")
    genii.publish("world.updates.user", {"x": 3, "y": 4})
    publication = next(news).publication
    print(f"{publication.topic}: {publication.json} from {publication.node}")
    assert publication.json == '{"x": 3, "y": 4}', publication
    news.close()


def owner():
    """The owner of the household needs no token at the socket in its data folder."""
    with Genii.unix(os.environ["GENII_SOCKET"]) as genii:
        house = genii.ask("core/system-digital-twin", "twin.describe_house")
        print(f"by the socket it knows of {len(house['agents'])} agents as well")


def nobody():
    """Whoever has no token that counts is told so."""
    with Genii.tls(
        os.environ["GENII_AT"],
        household=os.environ["GENII_HOUSEHOLD"],
        server_name=os.environ["GENII_SERVER_NAME"],
        token="genii-token-1-00000000-" + "A" * 43,
    ) as genii:
        try:
            genii.ask("core/system-digital-twin", "twin.describe_house")
            raise AssertionError("nobody was given this token")
        except Failed as failed:
            assert failed.denied is not None, failed
            print(f"as was to be expected: {failed}")


if __name__ == "__main__":
    main()
