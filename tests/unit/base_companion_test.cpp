#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/companion.h"
#include "base/platform.h"

namespace rapid {
namespace {

Companion shell(const std::string& script) {
  return *Companion::spawn("/bin/sh", {"sh", "-c", script});
}

// Up to a line's end, or the end of all.
std::string read_line(int fd) {
  std::string out;
  char c = 0;
  while (true) {
    pollfd file = {fd, POLLIN, 0};
    if (::poll(&file, 1, 10000) != 1 || ::recv(fd, &c, 1, 0) != 1 ||
        c == '\n') {
      return out;
    }
    out += c;
  }
}

TEST(Companion, TalksOverItsSocket) {
  Companion child = shell("read line <&3; echo \"got $line\" >&3; exit 4");
  EXPECT_EQ(send_quietly(child.fd(), "hello\n"), 6);
  EXPECT_EQ(read_line(child.fd()), "got hello");
  EXPECT_TRUE(child.wait(10));
  EXPECT_EQ(child.exit_reason(), "exit status 4");
  EXPECT_EQ(send_quietly(child.fd(), "x"), -1) << "and no SIGPIPE";
}

TEST(Companion, HasNoOtherFileOfOurs) {
  const int leak = ::fcntl(0, F_DUPFD, 77);
  ASSERT_GE(leak, 77);
  Companion child = shell(
      "test -e /dev/fd/" + std::to_string(leak) +
      " && echo yes >&3 || echo no >&3");
  EXPECT_EQ(read_line(child.fd()), "no");
  ::close(leak);
}

TEST(Companion, IsKilledWhenItDoesNotEndByItself) {
  Companion child = shell("trap '' TERM INT; echo up >&3; sleep 30 & wait");
  EXPECT_EQ(read_line(child.fd()), "up");
  EXPECT_FALSE(child.wait(0.05));
  const pid_t pid = child.pid();
  EXPECT_EQ(::getpgid(pid), pid) << "out of reach of the terminal";
  const double begin = now_seconds();
  child.kill(0.1);
  EXPECT_LT(now_seconds() - begin, 5);
  EXPECT_EQ(child.exit_reason(), "signal 9");
  EXPECT_FALSE(child.killed_by_others());
  Companion other = shell("kill -9 $$");
  EXPECT_TRUE(other.wait(10));
  EXPECT_TRUE(other.killed_by_others());
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST(Companion, WhatCannotBeStartedIsAnError) {
  const auto none = Companion::spawn("/no/such/program", {"x"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace rapid
