// Keys, hosts, CORS, TLS, the access log and a stop with manners, on sockets.
#include <fcntl.h>

#include <fstream>

#include "base/json.h"
#include "server_fixture.h"
#include "temp_folder.h"

namespace rapid {
namespace {

int status_of(const std::string& reply) {
  return reply.size() > 12 ? std::stoi(reply.substr(9, 3)) : 0;
}

std::string get_from(std::string_view host, std::string_view more = "") {
  return "GET /hello HTTP/1.1\r\nhost: " + std::string(host) + "\r\n" +
         std::string(more) + "\r\n";
}

TEST_F(ServerTest, ForeignHostsAndPagesAreRefused) {
  start();
  Client client(server->port());
  EXPECT_EQ(status_of(client.ask(get_from("127.0.0.1"))), 200);
  const std::string reply = client.ask(get_from("evil.example"));
  EXPECT_EQ(status_of(reply), 403);
  EXPECT_NE(reply.find("--allow-host evil.example"), std::string::npos);
  EXPECT_EQ(
      status_of(client.ask(
          get_from("localhost", "origin: https://evil.example\r\n"))),
      403);
}

TEST_F(ServerTest, CrossOriginWhereAllowed) {
  start({.cors_origins = {"https://ui.example"}});
  Client client(server->port());
  const std::string origin = "origin: https://ui.example\r\n";
  const std::string allowed =
      "access-control-allow-origin: https://ui.example\r\n";
  const std::string reply = client.ask(get_from("localhost", origin));
  EXPECT_EQ(status_of(reply), 200);
  EXPECT_NE(reply.find(allowed), std::string::npos);
  client.send(
      "OPTIONS /echo HTTP/1.1\r\nhost: localhost\r\n" + origin +
      "access-control-request-method: POST\r\n"
      "access-control-request-headers: x-new\r\nconnection: close\r\n\r\n");
  EXPECT_TRUE(client.read_to_end());
  const std::string& preflight = client.text;
  EXPECT_EQ(status_of(preflight), 204);
  for (const char* line :
       {"access-control-allow-methods: POST\r\n",
        "access-control-allow-headers: x-new\r\n"}) {
    EXPECT_NE(preflight.find(line), std::string::npos) << line;
  }
  EXPECT_EQ(preflight.find(allowed), preflight.rfind(allowed)) << "once";
  EXPECT_NE(preflight.find(allowed), std::string::npos);
}

TEST_F(ServerTest, AKeysLimitOfRequestsAtOnce) {
  ApiKey key = plain_key("k", "one");
  key.most_open = 1;
  start({.keys = {key}});
  Client first(server->port());
  first.send(post("/wait", "", "x-api-key: k\r\n"));
  ASSERT_TRUE(wait_held(1));
  Client second(server->port());
  const std::string refused =
      second.ask(post("/echo", "a", "x-api-key: k\r\n"));
  EXPECT_EQ(status_of(refused), 429);
  EXPECT_NE(refused.find("retry-after: 1\r\n"), std::string::npos);
  held[0]->reply(200, "done", "text/plain");
  EXPECT_TRUE(first.read_reply().ends_with("done"));
  for (int i = 0; i < 3; ++i) {  // each lets go of its place
    EXPECT_EQ(
        status_of(first.ask(post("/echo", "a", "x-api-key: k\r\n"))), 200);
  }
}

TEST_F(ServerTest, HandlersKnowWhoseKeyItWas) {
  add("POST", "/owner", [](auto& request, auto stream, auto&) {
    stream->reply(200, "owner " + request.owner, "text/plain");
  });
  start({.keys = {plain_key("k", "one")}});
  Client client(server->port());
  const std::string reply = client.ask(post("/owner", "", "x-api-key: k\r\n"));
  EXPECT_TRUE(
      reply.ends_with("owner " + plain_key("k", "").sha256.substr(0, 16)));
}

TEST_F(ServerTest, WhileStoppingNewRequestsGet503) {
  start({.drain_seconds = 30});
  Client open(server->port());
  open.send(post("/wait", ""));
  ASSERT_TRUE(wait_held(1));
  server->stop();
  std::string refused;
  for (int i = 0; i < 200 && status_of(refused) != 503; ++i) {
    Client late(server->port());
    refused = late.ask(get("/hello"));  // until the stop is known there
  }
  EXPECT_EQ(status_of(refused), 503);
  EXPECT_NE(refused.find("retry-after: "), std::string::npos);
  EXPECT_NE(refused.find("connection: close"), std::string::npos);
  held[0]->reply(200, "done", "text/plain");
  EXPECT_TRUE(open.read_reply().ends_with("done"));
  server->wait();
  Client none(server->port());
  EXPECT_FALSE(none.connected());
}

TEST_F(ServerTest, OneLineARequest) {
  const test::TempFolder folder;
  const auto path = folder.path() / "access.log";
  start({.keys = {plain_key("k", "ann")}, .access_log = path.string()});
  {
    Client client(server->port());
    client.ask(
        post("/echo?secret=1", "four", "x-api-key: k\r\nuser-agent: me\r\n"));
    client.ask(post("/echo", ""));
  }
  server.reset();
  std::ifstream file(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) {
    lines.push_back(*parse_json(line));
  }
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["path"], "/echo");
  EXPECT_EQ(lines[0]["method"], "POST");
  EXPECT_EQ(lines[0]["status"], 200);
  EXPECT_EQ(lines[0]["key"], "ann");
  EXPECT_EQ(lines[0]["agent"], "me");
  EXPECT_EQ(lines[0]["bytes_in"], 4);
  EXPECT_GT(lines[0]["bytes_out"], 100);
  EXPECT_EQ(lines[0]["remote"], "127.0.0.1");
  EXPECT_EQ(lines[1]["status"], 401);
  EXPECT_TRUE(lines[1]["key"].is_null());
  EXPECT_EQ(lines[0].dump().find("secret"), std::string::npos);
}

TEST_F(ServerTest, ALogThatCannotBeWrittenIsTold) {
  const auto made = Server::start(
      table,
      std::make_shared<ApiContext>(),
      {.port = 0, .access_log = "/proc/none/log"});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().param, "--access-log");
}

TEST_F(ServerTest, ListensOnASocketThatItIsGiven) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(fd, 8), 0);
  start({.sockets = {fd}});
  ASSERT_GT(server->port(), 0);
  Client client(server->port());
  EXPECT_EQ(status_of(client.ask(get("/hello"))), 200);
}

TEST_F(ServerTest, RequestsThatCouldMeanTwoThings) {
  start();
  for (const char* head :
       {"content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "content-length: 3\r\ncontent-length: 4\r\n",
        "content-length: 3, 4\r\n",
        "content-length: -3\r\n",
        "content-length: +3\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding : chunked\r\n"}) {
    Client client(server->port());
    client.send(
        "POST /echo HTTP/1.1\r\nhost: localhost\r\n" + std::string(head) +
        "\r\n0\r\n\r\n" + get("/hello?smuggled"));
    client.read_to_end(5);
    EXPECT_EQ(status_of(client.text), 400) << head << client.text;
    EXPECT_EQ(client.text.find("hello smuggled"), std::string::npos) << head;
  }
}

TEST_F(ServerTest, ManyIdleConnections) {
  start();
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 400; ++i) {  // both ends are files of this process
    idle.push_back(std::make_unique<Client>(server->port()));
  }
  Client client(server->port());
  EXPECT_EQ(status_of(client.ask(get("/hello"))), 200);
}

}  // namespace
}  // namespace rapid
