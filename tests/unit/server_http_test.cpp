// HTTP/1.1 as peers speak it, right and wrong.
#include "server_fixture.h"

namespace rapid {
namespace {

int status_of(const std::string& reply) {
  return reply.size() > 12 ? std::stoi(reply.substr(9, 3)) : 0;
}

TEST_F(ServerTest, KeepAliveAndPipelining) {
  start();
  Client client(server->port());
  EXPECT_TRUE(client.ask(get("/hello?a")).ends_with("hello a"));
  EXPECT_TRUE(client.ask(get("/hello?b")).ends_with("hello b"));
  client.send(get("/hello?1") + post("/echo", "two") + get("/hello?3"));
  EXPECT_TRUE(client.read_reply().ends_with("hello 1"));
  EXPECT_TRUE(client.read_reply().ends_with("two"));
  EXPECT_TRUE(client.read_reply().ends_with("hello 3"));
}

TEST_F(ServerTest, EveryReplyHasARequestId) {
  start();
  Client client(server->port());
  std::string ids[2];
  for (std::string& id : ids) {
    const std::string reply = client.ask(get("/id"));
    id = reply.substr(reply.find("\r\n\r\n") + 4);
    EXPECT_GE(id.size(), 16u);
    EXPECT_NE(reply.find("x-request-id: " + id + "\r\n"), std::string::npos);
  }
  EXPECT_NE(ids[0], ids[1]);
}

TEST_F(ServerTest, HeadOptionsAndConnectionClose) {
  start();
  Client client(server->port());
  client.send(
      "HEAD /hello?abc HTTP/1.1\r\nhost: localhost\r\n\r\n" + get("/hello"));
  EXPECT_TRUE(client.read_until("hello "));
  EXPECT_NE(client.text.find("content-length: 9\r\n"), std::string::npos);
  EXPECT_EQ(client.text.find("hello abc"), std::string::npos);

  Client other(server->port());
  other.send("OPTIONS /echo HTTP/1.1\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(other.read_to_end());
  EXPECT_EQ(status_of(other.text), 204);
  EXPECT_NE(other.text.find("allow: POST, OPTIONS"), std::string::npos);
  EXPECT_EQ(other.text.find("access-control"), std::string::npos);
}

TEST_F(ServerTest, UnknownPathAndMethod) {
  start();
  Client client(server->port());
  const std::string missing = client.ask(get("/nothing"));
  EXPECT_EQ(status_of(missing), 404);
  EXPECT_NE(missing.find("{\"error\":{\"message\":"), std::string::npos);
  const std::string wrong = client.ask(post("/hello", ""));
  EXPECT_EQ(status_of(wrong), 405);
  EXPECT_NE(wrong.find("allow: GET, HEAD"), std::string::npos);
  EXPECT_NE(wrong.find("method_not_allowed"), std::string::npos);
  EXPECT_EQ(status_of(client.ask(get("/hello"))), 200) << "still usable";
}

TEST_F(ServerTest, ApiKey) {
  start({.keys = {plain_key("secret", "one")}});
  Client client(server->port());
  for (const char* header :
       {"",
        "authorization: Bearer wrong\r\n",
        "authorization: secret\r\n",
        "x-api-key: secre\r\n",
        "x-api-key: secretsecret\r\n"}) {
    EXPECT_EQ(status_of(client.ask(post("/echo", "", header))), 401) << header;
  }
  for (const char* header :
       {"authorization: Bearer secret\r\n",
        "Authorization: bearer secret\r\n",
        "x-api-key: secret\r\n"}) {
    EXPECT_EQ(status_of(client.ask(post("/echo", "", header))), 200) << header;
  }
  EXPECT_EQ(status_of(client.ask(get("/hello"))), 200) << "open route";
}

TEST_F(ServerTest, BodiesOverTheLimit) {
  start({.max_body_bytes = 1000});
  const std::string big(100000, 'x');
  Client client(server->port());
  EXPECT_EQ(status_of(client.ask(post("/echo", big))), 413);
  EXPECT_TRUE(client.read_to_end());
  Client chunked(server->port());
  chunked.send(
      "POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n186a0\r\n" +
      big + "\r\n0\r\n\r\n");
  EXPECT_EQ(status_of(chunked.read_reply()), 413);
}

TEST_F(ServerTest, ChunkedAndLargeBodies) {
  start();
  Client client(server->port());
  EXPECT_TRUE(client
                  .ask("POST /echo HTTP/1.1\r\ntransfer-encoding: chunked"
                       "\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
                  .ends_with("abcde"));
  const std::string big(3 << 20, 'y');
  std::thread sender([&] { client.send(post("/echo", big)); });
  EXPECT_TRUE(client.read_reply(60).ends_with(big));
  sender.join();
}

TEST_F(ServerTest, ExpectContinue) {
  start({.keys = {plain_key("k", "one")}});
  Client client(server->port());
  client.send(
      "POST /echo HTTP/1.1\r\nx-api-key: k\r\nexpect: 100-continue\r\n"
      "content-length: 4\r\n\r\n");
  ASSERT_TRUE(client.read_until("HTTP/1.1 100 Continue\r\n\r\n"));
  client.text.clear();
  EXPECT_TRUE(client.ask("body").ends_with("body"));
  Client refused(server->port());
  refused.send(
      "POST /echo HTTP/1.1\r\nexpect: 100-continue\r\n"
      "content-length: 4\r\n\r\n");
  EXPECT_EQ(status_of(refused.read_reply()), 401) << "before the body";
}

TEST_F(ServerTest, BrokenRequests) {
  start();
  const std::pair<std::string, int> cases[] = {
      {"nonsense\r\n\r\n", 400},
      {"GET /hello\r\n\r\n", 400},
      {"GET /hello HTTP/1.1\r\nbad header\r\n\r\n", 400},
      {"GET /hello%zz HTTP/1.1\r\n\r\n", 400},
      {"GET /hello%00 HTTP/1.1\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\ncontent-length: x\r\n\r\n", 400},
      {"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400},
      {"GET /hello HTTP/1.1\r\nx: " + std::string(60000, 'a') + "\r\n\r\n",
       431},
      {"GET /hello HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n\r\n", 400},
      {"GET /hello HTTP/3.7\r\n\r\n", 400},
      {"POST /echo HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\ntransfer-encoding: chunked\r\n"
       "transfer-encoding: identity\r\n\r\n0\r\n\r\n",
       400},
      {"POST /echo HTTP/1.1\r\nexpect: magic\r\ncontent-length: 1\r\n\r\n",
       417}};
  for (const auto& [request, status] : cases) {
    Client client(server->port());
    client.send(request);
    EXPECT_EQ(status_of(client.read_reply()), status) << request.substr(0, 60);
  }
  Client gone(server->port());
  gone.send("GET /hel");
  gone.close();
  Client client(server->port());
  EXPECT_EQ(status_of(client.ask("\r\n" + get("/%68ello"))), 200);
  EXPECT_EQ(status_of(client.ask(get("http://x/hello"))), 200);
}

TEST_F(ServerTest, SlowBodyTimesOut) {
  start({.body_timeout_seconds = 0.3});
  Client client(server->port());
  const double begun = now_seconds();
  client.send("POST /echo HTTP/1.1\r\ncontent-length: 100\r\n\r\nabc");
  EXPECT_EQ(status_of(client.read_reply()), 408);
  EXPECT_LT(now_seconds() - begun, 5);
  Client header(server->port());
  header.send("POST /echo HTT");
  EXPECT_EQ(status_of(header.read_reply()), 408);
}

TEST_F(ServerTest, HandlersThatFailAnswer500) {
  start();
  Client client(server->port());
  for (const char* path : {"/throw", "/forget"}) {
    const std::string reply = client.ask(post(path, ""));
    EXPECT_EQ(status_of(reply), 500) << path;
    EXPECT_NE(reply.find("internal_error"), std::string::npos) << path;
  }
}

TEST_F(ServerTest, OldHttpGetsNoChunks) {
  start();
  Client client(server->port());
  client.send("POST /open HTTP/1.0\r\ncontent-length: 0\r\n\r\n");
  ASSERT_TRUE(wait_held(1));
  held[0]->event("x");
  held[0]->end_events();
  EXPECT_TRUE(client.read_to_end());
  EXPECT_TRUE(client.text.ends_with("\r\n\r\ndata: x\n\n")) << client.text;
}

TEST(ServerStart, PortInUseAndBadHost) {
  const auto context = std::make_shared<ApiContext>();
  auto first = Server::start({}, context, {.port = 0});
  ASSERT_TRUE(first);
  const int port = (*first)->port();
  const auto second = Server::start({}, context, {.port = port});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::io);
  EXPECT_EQ(
      second.error().what,
      "port " + std::to_string(port) + " is already in use");
  EXPECT_EQ(second.error().hint, "use --port, or stop the other program");
  const auto far = Server::start({}, context, {.host = "256.1.1.1.invalid"});
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().code, ErrorCode::invalid_argument);
  EXPECT_FALSE(Server::start({}, context, {.port = 70000}));
  const auto local =
      Server::start({}, context, {.host = "localhost", .port = 0});
  ASSERT_TRUE(local);
  EXPECT_TRUE(Client((*local)->port()).connected());
}

}  // namespace
}  // namespace rapid
