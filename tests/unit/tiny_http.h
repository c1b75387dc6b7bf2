// An HTTP server on loopback for tests: one connection after the other, one
// request each, with its body. A handler returns the raw bytes of the answer.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace rapid::test {

class TinyHttp {
 public:
  using Handler = std::function<std::string(const std::string& request)>;

  explicit TinyHttp(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    ::listen(listener_, 16);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }

  ~TinyHttp() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

  TinyHttp(const TinyHttp&) = delete;
  TinyHttp& operator=(const TinyHttp&) = delete;

  std::string url(const std::string& path = "") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  int port() const { return port_; }

  std::vector<std::string> requests() const {
    std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  static bool is_whole(const std::string& request) {
    const size_t head = request.find("\r\n\r\n");
    if (head == std::string::npos) {
      return false;
    }
    size_t length = request.find("Content-Length: ");
    length = length < head ? std::stoul(request.substr(length + 16)) : 0;
    return request.size() >= head + 4 + length;
  }

  void serve() {
    for (;;) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) {
        return;
      }
      std::string request;
      char buffer[4096];
      while (!is_whole(request)) {
        const ssize_t n = ::recv(client, buffer, sizeof(buffer), 0);
        if (n <= 0) {
          break;
        }
        request.append(buffer, static_cast<size_t>(n));
      }
      if (!is_whole(request)) {  // the client went away
        ::close(client);
        continue;
      }
      {
        std::lock_guard lock(mutex_);
        requests_.push_back(request);
      }
      const std::string answer = handler_(request);
      for (size_t at = 0; at < answer.size();) {
        const ssize_t n = ::send(
            client, answer.data() + at, answer.size() - at, MSG_NOSIGNAL);
        if (n <= 0) {
          break;
        }
        at += static_cast<size_t>(n);
      }
      ::shutdown(client, SHUT_WR);
      ::close(client);
    }
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
  mutable std::mutex mutex_;
  std::vector<std::string> requests_;
};

inline std::string http_answer(
    const std::string& status,
    const std::string& body,
    const std::string& headers = "",
    size_t length = std::string::npos) {
  return "HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Length: " +
         std::to_string(length == std::string::npos ? body.size() : length) +
         "\r\n" + headers + "\r\n" + body;
}

// The first byte that a Range header asks for; npos when there is none.
inline size_t range_start(const std::string& request) {
  const size_t at = request.find("Range: bytes=");
  return at == std::string::npos ? std::string::npos
                                 : std::stoul(request.substr(at + 13));
}

}  // namespace rapid::test
