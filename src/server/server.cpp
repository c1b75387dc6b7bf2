#include "server/server.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>
#include <map>
#include <random>
#include <thread>

#include "server/connection_reply.inl"

namespace rapid {

namespace {

// Each connection is a file; many systems give a program 1,024 at first.
void allow_many_files() {
  for (const rlim_t enough : {65536, 10240}) {  // a Mac refuses the first
    rlimit files{};
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < enough) {
      files.rlim_cur = std::min(files.rlim_max, enough);
      (void)setrlimit(RLIMIT_NOFILE, &files);
    }
  }
}

// Makes room: of those that wait for a request, the one that waits longest.
void close_idle(ServerCore& core) {
  Connection* oldest = nullptr;
  for (Connection* one : core.connections) {
    if (one->idle_since() &&
        (oldest == nullptr || one->idle_since() < oldest->idle_since())) {
      oldest = one;
    }
  }
  if (oldest != nullptr) {
    oldest->abort();
  }
}

asio::awaitable<void> accept_all(ServerCore& core, tcp::acceptor& acceptor) {
  asio::steady_timer pause(core.network);
  while (acceptor.is_open()) {
    error_code ec;
    tcp::socket socket(core.network);
    co_await acceptor.async_accept(
        socket, asio::redirect_error(asio::use_awaitable, ec));
    if (!ec) {
      error_code ignored;
      socket.set_option(tcp::no_delay(true), ignored);
      auto connection = std::make_shared<Connection>(core, std::move(socket));
      asio::co_spawn(
          core.network, Connection::run(std::move(connection)), asio::detached);
    } else if (acceptor.is_open()) {  // out of files
      close_idle(core);
      pause.expires_after(std::chrono::milliseconds(10));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    }
  }
}

Result<std::vector<tcp::endpoint>> endpoints_of(const ServerOptions& options) {
  if (options.port < 0 || options.port > 65535) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("port {} is not from 0 to 65535", options.port)};
  }
  const auto port = static_cast<uint16_t>(options.port);
  error_code ec;
  if (options.host == "localhost") {
    return std::vector<tcp::endpoint>{
        {asio::ip::address_v4::loopback(), port},
        {asio::ip::address_v6::loopback(), port}};
  }
  const auto address = asio::ip::make_address(options.host, ec);
  if (!ec) {
    return std::vector<tcp::endpoint>{{address, port}};
  }
  asio::io_context context;
  const auto found =
      tcp::resolver(context).resolve(options.host, std::to_string(port), ec);
  if (ec || found.empty()) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format("\"{}\" is not a host of this machine", options.host),
        "use 127.0.0.1, localhost, or 0.0.0.0 for every interface"};
  }
  return std::vector<tcp::endpoint>{found.begin()->endpoint()};
}

Error bind_error(const error_code& ec, const tcp::endpoint& endpoint) {
  if (ec == asio::error::address_in_use) {
    return {
        ErrorCode::io,
        fmt::format("port {} is already in use", endpoint.port()),
        "use --port, or stop the other program"};
  }
  return {
      ErrorCode::io,
      fmt::format(
          "cannot listen on {} port {}: {}",
          endpoint.address().to_string(),
          endpoint.port(),
          ec.message()),
      "choose another --host or --port"};
}

error_code open(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
  error_code ec;
  acceptor.open(endpoint.protocol(), ec);
  if (!ec) {
    acceptor.set_option(tcp::acceptor::reuse_address(true), ec);
  }
  if (!ec && endpoint.address().is_v6()) {
    acceptor.set_option(asio::ip::v6_only(true), ec);
  }
  if (!ec) {
    acceptor.bind(endpoint, ec);
  }
  if (!ec) {
    acceptor.listen(asio::socket_base::max_listen_connections, ec);
  }
  return ec;
}

}  // namespace

struct Server::Impl {
  explicit Impl(const ServerOptions& options) : core(options) {}

  Status take_sockets();
  Status bind();
  Status secure();
  void run();
  void begin_stop();
  void end_stop();
  void abort_all() {
    for (Connection* connection : core.connections) {
      connection->abort();
    }
  }

  ServerCore core;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;
  int port = 0;
  std::promise<void> ended;
  std::shared_future<void> end = ended.get_future().share();
  std::thread thread;
};

// Sockets that listen already, from systemd or launchd.
Status Server::Impl::take_sockets() {
  for (const int fd : core.options.sockets) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    const bool v6 = address.ss_family == AF_INET6;
    if (!v6 && address.ss_family != AF_INET) {
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("the inherited socket {} is none of TCP", fd),
          "let it listen on a port"};
    }
    auto acceptor = std::make_unique<tcp::acceptor>(core.network);
    error_code ec;
    acceptor->assign(v6 ? tcp::v6() : tcp::v4(), fd, ec);
    if (ec) {
      return Error{
          ErrorCode::io,
          fmt::format(
              "the inherited socket {} cannot be used: {}", fd, ec.message())};
    }
    port = acceptor->local_endpoint(ec).port();
    acceptors.push_back(std::move(acceptor));
  }
  return {};
}

Status Server::Impl::secure() {
  const ServerOptions& options = core.options;
  if (options.tls_cert.empty() && options.tls_key.empty()) {
    return {};
  }
  using Context = asio::ssl::context;
  Context& tls = core.tls.emplace(Context::tls_server);
  error_code ec;
  tls.set_options(
      Context::default_workarounds | Context::no_sslv2 | Context::no_sslv3 |
          Context::no_tlsv1 | Context::no_tlsv1_1,
      ec);
  if (!ec) {
    tls.use_certificate_chain_file(options.tls_cert, ec);
  }
  if (ec) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "no certificate in \"{}\": {}", options.tls_cert, ec.message()),
        "a PEM file with the certificate and those above it",
        "--tls-cert"};
  }
  tls.use_private_key_file(options.tls_key, Context::pem, ec);
  if (ec) {
    return Error{
        ErrorCode::invalid_argument,
        fmt::format(
            "no key of that certificate in \"{}\": {}",
            options.tls_key,
            ec.message()),
        "a PEM file with its private key, not encrypted",
        "--tls-key"};
  }
  return {};
}

Status Server::Impl::bind() {
  if (!core.options.sockets.empty()) {
    return take_sockets();
  }
  RAPID_TRY(auto endpoints, endpoints_of(core.options));
  for (tcp::endpoint& endpoint : endpoints) {
    const bool first = acceptors.empty();
    if (!first) {
      endpoint.port(static_cast<uint16_t>(port));
    }
    auto acceptor = std::make_unique<tcp::acceptor>(core.network);
    if (const error_code ec = open(*acceptor, endpoint)) {
      if (first) {
        return bind_error(ec, endpoint);
      }
      continue;  // no IPv6 here: IPv4 is enough
    }
    port = acceptor->local_endpoint().port();
    acceptors.push_back(std::move(acceptor));
  }
  return {};
}

void Server::Impl::run() {
  for (auto& acceptor : acceptors) {
    asio::co_spawn(core.network, accept_all(core, *acceptor), asio::detached);
  }
  core.network.run();
  ended.set_value();
}

// Open requests go on, new ones are refused.
void Server::Impl::begin_stop() {
  if (core.stopping) {
    return;
  }
  core.stopping = true;
  if (core.open_requests == 0) {
    return end_stop();
  }
  core.limit.expires_after(seconds_of(core.options.drain_seconds));
  core.limit.async_wait([this](error_code ec) {
    if (!ec) {
      end_stop();
      abort_all();
    }
  });
  for (Connection* connection : core.connections) {
    connection->wake();
  }
}

// Nobody is served any more; who is being refused has a moment.
void Server::Impl::end_stop() {
  if (core.stopped) {
    return;
  }
  core.stopped = true;
  error_code ignored;
  for (auto& acceptor : acceptors) {
    acceptor->close(ignored);
  }
  core.limit.cancel();
  if (core.connections.empty()) {
    return;
  }
  core.limit.expires_after(std::chrono::milliseconds(500));
  core.limit.async_wait([this](error_code ec) {
    if (!ec) {
      abort_all();
    }
  });
  for (Connection* connection : core.connections) {
    connection->wake();
  }
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Result<std::unique_ptr<Server>> Server::start(
    const RouteTable& routes,
    std::shared_ptr<ApiContext> context,
    const ServerOptions& options) {
  allow_many_files();
  auto impl = std::make_unique<Impl>(options);
  impl->core.routes = routes;
  impl->core.context = std::move(context);
  impl->core.id_seed =
      (uint64_t{std::random_device{}()} << 16 ^ std::random_device{}()) &
      0xFFFFFFFFFFFF;
  impl->core.drained = [raw = impl.get()] { raw->end_stop(); };
  RAPID_TRY(impl->core.access, AccessLog::open(options.access_log));
  RAPID_CHECK(impl->secure());
  RAPID_CHECK(impl->bind());
  impl->thread = std::thread([raw = impl.get()] { raw->run(); });
  return std::unique_ptr<Server>(new Server(std::move(impl)));
}

Server::~Server() {
  stop();
  impl_->thread.join();
  impl_->core.workers.join();
}

int Server::port() const {
  return impl_->port;
}

void Server::stop() {
  asio::post(impl_->core.network, [impl = impl_.get()] { impl->begin_stop(); });
}

void Server::wait() {
  impl_->end.wait();
}

}  // namespace rapid
