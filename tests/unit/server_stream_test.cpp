// Event streams: silence, clients that leave, many at once, stopping.
#include "server_fixture.h"

namespace rapid {
namespace {

TEST_F(ServerTest, StreamsChunkByChunk) {
  start();
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  held[0]->event("one");
  ASSERT_TRUE(client.read_until("data: one\n\n"));
  EXPECT_NE(client.text.find("cache-control: no-cache"), std::string::npos);
  EXPECT_NE(client.text.find("text/event-stream"), std::string::npos);
  EXPECT_NE(client.text.find("\r\nb\r\ndata: one\n\n\r\n"), std::string::npos);
  held[0]->named_event("ping", "a\nb");
  held[0]->end_events();
  ASSERT_TRUE(client.read_until("\r\n0\r\n\r\n"));
  EXPECT_NE(
      client.text.find("event: ping\ndata: a\ndata: b\n\n"), std::string::npos);
  client.text.clear();
  EXPECT_TRUE(client.ask(get("/hello?again")).ends_with("again"));
  EXPECT_EQ(left, 0);
}

TEST_F(ServerTest, ErrorBeforeTheFirstEventIsAPlainReply) {
  start();
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  EXPECT_FALSE(held[0]->events_begun());
  held[0]->reply(400, "{}", "application/json");
  EXPECT_TRUE(client.read_reply().starts_with("HTTP/1.1 400 "));
}

TEST_F(ServerTest, CommentsWhileSilent) {
  start({.keepalive_seconds = 0.1});
  Client client(server->port());
  client.send(post("/open", ""));
  EXPECT_TRUE(client.read_until(": keepalive\n\n"));
  client.text.clear();
  EXPECT_TRUE(client.read_until(": keepalive\n\n"));
  ASSERT_TRUE(wait_held(1));
  held[0]->note("3 of 5\nprompt tokens");
  EXPECT_TRUE(client.read_until(": keepalive 3 of 5 prompt tokens\n\n"));
  held[0]->event("late");
  held[0]->end_events();
  EXPECT_TRUE(client.read_until("data: late\n\n"));
}

TEST_F(ServerTest, KeepalivesCanBeEvents) {
  start({.keepalive_seconds = 0.1});
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  int count = 0;
  held[0]->keepalive_event("ping", [count]() mutable {
    return "{" + std::to_string(++count) + "}";
  });
  EXPECT_TRUE(client.read_until("event: ping\ndata: {1}\n\n"));
  EXPECT_TRUE(client.read_until("event: ping\ndata: {2}\n\n"));
  held[0]->end_events();
}

TEST_F(ServerTest, LinesWithBlanksWhileSilent) {
  start({.keepalive_seconds = 0.1});
  Client client(server->port());
  client.send(post("/lines", ""));
  ASSERT_TRUE(wait_held(1));
  EXPECT_TRUE(client.read_until("\r\n1\r\n \r\n"));
  EXPECT_NE(
      client.text.find("content-type: application/x-ndjson\r\n"),
      std::string::npos);
  held[0]->line("{\"a\":1}");
  held[0]->line("{}");
  held[0]->end_events();
  ASSERT_TRUE(client.read_until("\r\n0\r\n\r\n"));
  EXPECT_NE(client.text.find("{\"a\":1}\n"), std::string::npos);
  EXPECT_NE(client.text.find("{}\n"), std::string::npos);
  EXPECT_EQ(client.text.find("keepalive"), std::string::npos);
}

TEST_F(ServerTest, LeavingDuringSilenceIsNoticed) {
  start();
  for (const char* path : {"/open", "/wait", "/lines"}) {
    left = 0;
    held.clear();
    Client client(server->port());
    client.send(post(path, ""));
    ASSERT_TRUE(wait_held(1));
    client.close();
    EXPECT_TRUE(wait_left(1, 3.0)) << path;
    held[0]->event("into the void");
    held[0]->end_events();
    EXPECT_EQ(left, 1);
  }
}

TEST_F(ServerTest, LeavingBehindAPipelinedRequestIsNoticed) {
  start();
  Client client(server->port());
  client.send(post("/open", "") + get("/hello"));
  ASSERT_TRUE(wait_held(1));
  client.close();
  EXPECT_TRUE(wait_left(1, 3.0));
}

TEST_F(ServerTest, HalfClosedClientsGetTheirReply) {
  start();
  Client quick(server->port());
  quick.send(get("/hello?half"));
  quick.half_close();
  EXPECT_TRUE(quick.read_until("hello half"));

  Client reader(server->port());
  reader.send(post("/open", ""));
  reader.half_close();
  ASSERT_TRUE(wait_held(1));
  EXPECT_FALSE(wait_left(1, 1.2));
  held[0]->event("still here");
  EXPECT_TRUE(reader.read_until("still here"));
  held[0]->end_events();
}

TEST_F(ServerTest, AStreamThatIsForgottenIsCutShort) {
  start();
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  held[0]->event("half");
  held.clear();
  EXPECT_TRUE(client.read_to_end());
  EXPECT_EQ(client.text.find("\r\n0\r\n\r\n"), std::string::npos);
}

TEST_F(ServerTest, ASlowReaderIsLetGo) {
  start();
  Client client(server->port(), true);
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  const std::string event(1 << 20, 'x');
  for (int i = 0; i < 40; ++i) {
    held[0]->event(event);
  }
  EXPECT_TRUE(wait_left(1, 10));
}

TEST_F(ServerTest, FortyStreamsAndHealthAnswers) {
  constexpr size_t kStreams = 40;
  start({.threads = 2});
  std::vector<std::unique_ptr<Client>> clients;
  for (size_t i = 0; i < kStreams; ++i) {
    clients.push_back(std::make_unique<Client>(server->port()));
    clients.back()->send(post("/open", ""));
  }
  ASSERT_TRUE(wait_held(kStreams));
  std::thread tokens([&] {
    for (int n = 0; n < 100; ++n) {
      for (auto& stream : held) {
        stream->event("token " + std::to_string(n));
      }
    }
  });
  Client hello(server->port());
  const double begun = now_seconds();
  EXPECT_TRUE(hello.ask(get("/hello?1")).ends_with("hello 1"));
  EXPECT_LT(now_seconds() - begun, 8);
  tokens.join();
  for (auto& stream : held) {
    stream->end_events();
  }
  for (auto& client : clients) {
    ASSERT_TRUE(client->read_until("\r\n0\r\n\r\n"));
    size_t at = 0;
    for (int n = 0; n < 100; ++n) {
      at = client->text.find("data: token " + std::to_string(n) + "\n\n", at);
      ASSERT_NE(at, std::string::npos) << n;
    }
  }
}

TEST_F(ServerTest, StopLetsOpenRequestsFinish) {
  start({.drain_seconds = 10});
  Client idle(server->port());
  EXPECT_TRUE(idle.ask(get("/hello?x")).ends_with("x"));
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  held[0]->event("first");
  ASSERT_TRUE(client.read_until("first"));
  server->stop();
  EXPECT_TRUE(idle.read_to_end(8)) << "idle connections close at once";
  held[0]->event("last");
  held[0]->end_events();
  EXPECT_TRUE(client.read_until("last"));
  const double begun = now_seconds();
  server->wait();
  EXPECT_LT(now_seconds() - begun, 8);
  EXPECT_EQ(left, 0);
  EXPECT_FALSE(Client(server->port()).connected());
}

TEST_F(ServerTest, StopEndsWhatDoesNotFinish) {
  start({.drain_seconds = 0.2});
  Client client(server->port());
  client.send(post("/open", ""));
  ASSERT_TRUE(wait_held(1));
  const double begun = now_seconds();
  server->stop();
  server->stop();
  server->wait();
  EXPECT_LT(now_seconds() - begun, 8);
  server.reset();
  EXPECT_EQ(left, 1);
  held[0]->event("after the end");
}

}  // namespace
}  // namespace rapid
