"""The classic Twisted echo server behind txWS, on a free port of loopback.

It looks request headers up by their exact spelling.
"""

import txws
from twisted.internet import protocol, reactor


def mask(buf, key):
    # txWS 0.9.1 calls array.tostring, which Python 3.9 removed.
    return bytes(b ^ key[i % 4] for i, b in enumerate(buf))


txws.mask = mask


class Echo(protocol.Protocol):
    def dataReceived(self, data):
        # txWS sends text frames only for what is text.
        self.transport.write(data.decode("utf-8"))


factory = protocol.Factory.forProtocol(Echo)
port = reactor.listenTCP(0, txws.WebSocketFactory(factory), interface="127.0.0.1")
print("127.0.0.1:%d" % port.getHost().port, flush=True)
reactor.run()
