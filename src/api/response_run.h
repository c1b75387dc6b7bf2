// ResponseRun: the stream of a response under way that others may stop, too,
// and that may go on without the client who asked for it.
//
// Thread-safe, as every ResponseStream.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "api/route.h"

namespace rapid {

class ResponseRun : public ResponseStream,
                    public std::enable_shared_from_this<ResponseRun> {
 public:
  // `background`: it goes on when the client leaves.
  ResponseRun(std::shared_ptr<ResponseStream> client, bool background)
      : client_(std::move(client)), background_(background) {}

  // As if the client had left. Not from inside a sink.
  void stop();
  // This is the whole reply; what is written from now on goes nowhere.
  void detach(std::string body);

  void reply(
      int status, std::string body, std::string_view content_type) override;
  void header(std::string name, std::string value) override;
  void start_events() override;
  void event(std::string_view data) override;
  void named_event(std::string_view name, std::string_view data) override;
  void end_events() override;
  void start_lines() override;
  void line(std::string_view json) override;
  void keepalive_event(
      std::string name, std::function<std::string()> data) override;
  void note(std::string text) override;
  bool events_begun() const override;
  void on_disconnect(std::function<void()> callback) override;

 private:
  std::shared_ptr<ResponseStream> client() const {
    std::lock_guard lock(mutex_);
    return client_;
  }
  template <typename Call>
  void forward(const Call& call) const {
    if (const auto stream = client()) {
      call(*stream);
    }
  }

  mutable std::mutex mutex_;
  std::shared_ptr<ResponseStream> client_;  // null: detached
  const bool background_;
  bool stopped_ = false;
  std::function<void()> cancel_;
};

}  // namespace rapid
