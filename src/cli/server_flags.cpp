#include "cli/server_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/platform.h"

namespace rapid {
namespace {

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

}  // namespace

namespace {

void add_key_flags(CLI::App& app, ServerFlags& flags) {
  app.add_option(
         "--api-key",
         flags.api_keys,
         "Key that clients must send, may be given again; also from "
         "RAPID_MLX_API_KEY")
      ->option_text("KEY")
      ->envname("RAPID_MLX_API_KEY")
      ->allow_extra_args(false);
  app.add_option(
         "--api-keys-file",
         flags.api_keys_file,
         "Keys as lines: SHA256 NAME [at-once=N] [per-minute=N]")
      ->option_text("FILE");
  app.add_option(
         "--cors",
         flags.server.cors_origins,
         "Web pages of this origin may ask; * = any; may be given again")
      ->option_text("ORIGIN")
      ->allow_extra_args(false);
  app.add_option(
         "--allow-host",
         flags.server.allow_hosts,
         "Answer to this host name beside localhost and the address; * = any")
      ->option_text("NAME")
      ->allow_extra_args(false);
}

void add_limit_flags(CLI::App& app, ServerFlags& flags) {
  ServerOptions& server = flags.server;
  app.add_option(
         "--max-body", flags.max_body_mib, "Largest request; else a 413")
      ->option_text(fmt::format("MIB ({})", flags.max_body_mib))
      ->check(CLI::Range(0.001, 65536.0).description(""));
  app.add_option(
         "--body-timeout",
         server.body_timeout_seconds,
         "For a request to arrive, and more for a large one; else a 408")
      ->option_text(fmt::format("SECONDS ({})", server.body_timeout_seconds))
      ->check(CLI::Range(0.1, 86400.0).description(""));
  app.add_option(
         "--drain",
         server.drain_seconds,
         "When stopped, open answers may take this long; new requests get a "
         "503")
      ->option_text(fmt::format("SECONDS ({})", server.drain_seconds))
      ->check(CLI::Range(0.0, 86400.0).description(""));
}

}  // namespace

void ServerFlags::add(CLI::App& app) {
  app.add_option("--host", server.host, "Address to listen on")
      ->option_text(fmt::format("ADDRESS ({})", server.host));
  app.add_option("--port", server.port, "Port; 0 = any free one")
      ->option_text(fmt::format("N ({})", server.port))
      ->check(CLI::Range(0, 65535).description(""));
  add_key_flags(app, *this);
  auto* cert = app.add_option(
                      "--tls-cert",
                      server.tls_cert,
                      "Certificate chain (PEM): the server speaks https")
                   ->option_text("FILE");
  auto* key = app.add_option("--tls-key", server.tls_key, "Its private key")
                  ->option_text("FILE");
  cert->needs(key);
  key->needs(cert);
  add_limit_flags(app, *this);
  app.add_option(
         "--access-log",
         server.access_log,
         "One JSON line a request, to a file or - (standard output)")
      ->option_text("FILE");
}

Result<ServerOptions> ServerFlags::options() const {
  ServerOptions out = server;
  out.max_body_bytes = static_cast<size_t>(max_body_mib * (1 << 20));
  if (!api_keys_file.empty()) {
    RAPID_TRY(out.keys, read_api_keys(api_keys_file));
  }
  for (size_t i = 0; i < api_keys.size(); ++i) {
    if (!api_keys[i].empty()) {
      out.keys.push_back(plain_key(api_keys[i], fmt::format("key-{}", i + 1)));
    }
  }
  out.sockets = inherited_sockets();
  return out;
}

std::string url_of(const ServerOptions& server, int port) {
  std::string host = server.host;
  if (host == "0.0.0.0") {
    host = "127.0.0.1";
  } else if (host == "::") {
    host = "[::1]";
  } else if (host.find(':') != std::string::npos) {
    host = "[" + host + "]";
  }
  return fmt::format(
      "http{}://{}:{}", server.tls_cert.empty() ? "" : "s", host, port);
}

void warn_if_open(const ServerOptions& server, int port) {
  if (!is_loopback(server.host) && server.keys.empty()) {
    fmt::print(
        stderr,
        "warning: anyone who reaches {} port {} may use this server; "
        "--api-key sets a key\n",
        server.host,
        port);
  }
}

std::string curl_key(const ServerOptions& server) {
  return server.keys.empty()
             ? ""
             : " -H \"authorization: Bearer $RAPID_MLX_API_KEY\"";
}

}  // namespace rapid
