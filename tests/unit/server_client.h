// A raw HTTP client on one socket, for tests that must see every byte.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "base/clock.h"

namespace rapid {

class Client {
 public:
  explicit Client(int port, bool small_window = false) {
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    if (small_window) {
      const int size = 4096;
      setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ =
        connect(
            fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
        0;
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void close() {
    if (fd_ >= 0) {
      ::close(fd_);
      fd_ = -1;
    }
  }
  void half_close() { shutdown(fd_, SHUT_WR); }

  bool send(std::string_view data) {
    while (!data.empty()) {
      const ssize_t sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        return false;
      }
      data.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Reads until `mark` has come (true), or the end or the time limit.
  bool read_until(std::string_view mark, double seconds = 10) {
    const double end = now_seconds() + seconds;
    while (text.find(mark) == std::string::npos) {
      if (!read_some(end)) {
        return false;
      }
    }
    return true;
  }
  // True when the server closed within the limit.
  bool read_to_end(double seconds = 10) {
    const double end = now_seconds() + seconds;
    while (read_some(end)) {
    }
    return closed;
  }
  // One reply with a content-length, taken off `text`.
  std::string read_reply(double seconds = 10) {
    if (!read_until("\r\n\r\n", seconds)) {
      return "";
    }
    const size_t head = text.find("\r\n\r\n") + 4;
    const size_t at = text.find("content-length: ");
    size_t size = head;
    if (at < head) {
      size += std::stoul(text.substr(at + 16));
    }
    const double end = now_seconds() + seconds;
    while (text.size() < size && read_some(end)) {
    }
    std::string reply = text.substr(0, size);
    text.erase(0, size);
    return reply;
  }
  std::string ask(std::string_view request) {
    send(request);
    return read_reply();
  }

  std::string text;  // read so far
  bool closed = false;

 private:
  bool read_some(double end) {
    pollfd wait{fd_, POLLIN, 0};
    const double left = end - now_seconds();
    if (left <= 0 || poll(&wait, 1, static_cast<int>(left * 1000) + 1) <= 0) {
      return false;
    }
    char buffer[65536];
    const ssize_t size = recv(fd_, buffer, sizeof buffer, 0);
    if (size <= 0) {
      closed = true;
      return false;
    }
    text.append(buffer, static_cast<size_t>(size));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false;
};

inline std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nhost: localhost\r\n\r\n";
}

inline std::string post(
    std::string_view path, std::string_view body, std::string_view more = "") {
  return "POST " + std::string(path) + " HTTP/1.1\r\nhost: localhost\r\n" +
         std::string(more) + "content-length: " + std::to_string(body.size()) +
         "\r\n\r\n" + std::string(body);
}

}  // namespace rapid
