#include "kernels/cuda_step.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "base/log.h"
#include "kernels/cuda_graph.h"
#include "kernels/gpu_kernel.h"
#include "tensor/device_memory.h"

namespace rapid {

namespace {

constexpr size_t kMostSteps = 8;  // kept, of different numbers of sequences
constexpr size_t kSparePages = 8;

// What a table says of a page, and what shows that it still holds.
struct KnownPage {
  std::weak_ptr<KvPage> page;
  const DeviceBuffer* buffer = nullptr;  // of its array
  void* address = nullptr;               // where that was: MLX may move it

  bool holds(const std::shared_ptr<KvPage>& now) const {
    return !page.owner_before(now) && !now.owner_before(page) &&
           (!buffer || buffer->data == address);
  }
};

// Memory that an array does not own; `keep` lives as long as it does.
mx::array array_at(
    std::shared_ptr<CudaMemory> keep,
    size_t offset,
    const mx::Shape& shape,
    mx::Dtype type,
    int device) {
  auto* buffer =
      new DeviceBuffer{keep->data() + offset, keep->bytes() - offset, device};
  mx::allocator::Data data(
      mx::allocator::Buffer(buffer),
      [buffer, keep](mx::allocator::Buffer) { delete buffer; });
  return mx::array(std::move(data), shape, type);
}

// The step that this thread records, if any.
thread_local std::function<std::optional<StepTables>(const PageList&)> recorder;

// What was recorded is all that made the logits.
bool whole(const CudaRecording& recording, const mx::array& logits) {
  const auto& launches = recording.launches;
  return !launches.empty() && !recording.foreign &&
         launches.size() == recording.nodes && logits.dtype() == mx::float32 &&
         launches.back().pointers[launches.back().inputs] ==
             device_address(logits);
}

bool wanted() {
  const char* wish = std::getenv("RAPID_MLX_GPU_STEPS");
  return cuda_graphs_possible() && !(wish && std::string_view(wish) == "0");
}

}  // namespace

// A step of so many sequences of a form: its graph, and the memory of what
// changes. That is ids and positions, then the layers' tables of pages.
class CudaSteps::Step {
 public:
  explicit Step(const Inputs& inputs);

  // As many sequences, of the same form.
  bool is_for(const Inputs& inputs) const {
    return inputs.ids.size() == static_cast<size_t>(sequences_) &&
           inputs.pages.front()->form == form_;
  }
  bool fits(const Inputs& inputs) const;
  bool recorded() const { return graph_ != nullptr; }
  mx::array record(const Inputs& inputs, const Build& build);
  mx::array run(const Inputs& inputs);
  std::optional<StepTables> tables(const PageList& first) const;

 private:
  static size_t pages_of(const Inputs& inputs);
  bool pages_hold(const Inputs& inputs) const;
  void fill_tables(const Inputs& inputs);
  void send(const Inputs& inputs);
  bool advanced(const Inputs& inputs) const;
  mx::array fetched() const;
  mx::array shared(size_t offset, const mx::Shape& shape, mx::Dtype type) const;
  size_t heads() const {  // bytes of ids and positions
    return (static_cast<size_t>(sequences_) * 8 + 255) / 256 * 256;
  }

  int sequences_;
  int form_;
  size_t lists_;
  size_t most_pages_;
  std::shared_ptr<CudaMemory> there_;          // on the device
  CudaMemory here_;                            // the same, on its way
  std::vector<std::vector<KnownPage>> known_;  // of each list
  std::shared_ptr<std::vector<int>> positions_;
  const Inputs* recording_ = nullptr;  // while it is recorded
  std::unique_ptr<CudaGraph> graph_;
  std::vector<std::shared_ptr<mx::array::Data>> held_;  // that the graph uses
  std::optional<mx::array> logits_;
  std::shared_ptr<CudaMemory> logits_here_;
};

CudaSteps::Step::Step(const Inputs& inputs)
    : sequences_(static_cast<int>(inputs.ids.size())),
      form_(inputs.pages.front()->form),
      lists_(inputs.pages.size()),
      most_pages_(std::bit_ceil(pages_of(inputs) + kSparePages)),
      there_(std::make_shared<CudaMemory>(
          CudaMemory::Place::device, heads() + lists_ * most_pages_ * 8)),
      here_(CudaMemory::Place::host, there_->bytes()),
      known_(lists_),
      positions_(std::make_shared<std::vector<int>>()) {
  std::memset(here_.data(), 0, here_.bytes());
}

size_t CudaSteps::Step::pages_of(const Inputs& inputs) {
  size_t most = 0;
  for (const PageList* list : inputs.pages) {
    most = std::max(most, list->pages.size());
  }
  return most;
}

bool CudaSteps::Step::fits(const Inputs& inputs) const {
  return inputs.pages.size() == lists_ && pages_of(inputs) <= most_pages_;
}

bool CudaSteps::Step::pages_hold(const Inputs& inputs) const {
  for (size_t i = 0; i < lists_; ++i) {
    const auto& pages = inputs.pages[i]->pages;
    if (!std::ranges::equal(
            known_[i], pages, [](const KnownPage& known, const auto& now) {
              return known.holds(now);
            })) {
      return false;
    }
  }
  return true;
}

void CudaSteps::Step::fill_tables(const Inputs& inputs) {
  std::vector<mx::array> fresh;  // nobody has made them yet
  for (const PageList* list : inputs.pages) {
    for (const auto& page : list->pages) {
      if (page && page->data.status() == mx::array::Status::unscheduled) {
        fresh.push_back(page->data);
      }
    }
  }
  mx::eval(fresh);
  for (size_t i = 0; i < lists_; ++i) {
    std::vector<void*> table(most_pages_, nullptr);
    known_[i].clear();
    for (const auto& page : inputs.pages[i]->pages) {
      KnownPage known;
      if (page) {
        known = {
            page,
            static_cast<const DeviceBuffer*>(page->data.buffer().ptr()),
            nullptr};
        known.address = known.buffer->data;
        table[known_[i].size()] = device_address(page->data);
      }
      known_[i].push_back(std::move(known));
    }
    std::memcpy(
        here_.data() + heads() + i * most_pages_ * 8,
        table.data(),
        most_pages_ * 8);
  }
}

void CudaSteps::Step::send(const Inputs& inputs) {
  const bool hold = pages_hold(inputs);
  if (!hold) {
    fill_tables(inputs);
  }
  positions_->clear();
  for (int i = 0; i < sequences_; ++i) {
    positions_->push_back(inputs.pages[static_cast<size_t>(i)]->length);
  }
  const size_t bytes = static_cast<size_t>(sequences_) * 4;
  std::memcpy(here_.data(), inputs.ids.data(), bytes);
  std::memcpy(here_.data() + bytes, positions_->data(), bytes);
  send_to_device(
      there_->data(), here_.data(), hold ? 2 * bytes : here_.bytes());
}

mx::array CudaSteps::Step::shared(
    size_t offset, const mx::Shape& shape, mx::Dtype type) const {
  return array_at(there_, offset, shape, type, mx::default_device().index);
}

std::optional<StepTables> CudaSteps::Step::tables(const PageList& first) const {
  const auto& lists = recording_->pages;
  const auto found = std::find(lists.begin(), lists.end(), &first);
  if (found == lists.end()) {
    return std::nullopt;
  }
  const auto list = static_cast<size_t>(found - lists.begin());
  const auto most = static_cast<int>(most_pages_);
  return StepTables{
      shared(static_cast<size_t>(sequences_) * 4, {sequences_}, mx::int32),
      shared(heads() + list * most_pages_ * 8, {sequences_ * most}, mx::int64),
      most,
      positions_};
}

// Every list by the one token.
bool CudaSteps::Step::advanced(const Inputs& inputs) const {
  for (size_t i = 0; i < lists_; ++i) {
    if (inputs.pages[i]->length != (*positions_)[i % positions_->size()] + 1) {
      return false;
    }
  }
  return true;
}

mx::array CudaSteps::Step::record(const Inputs& inputs, const Build& build) {
  send(inputs);
  wait_for_graphs();
  CudaRecording recording;
  recording_ = &inputs;
  recorder = [this](const PageList& first) { return tables(first); };
  struct Ending {
    ~Ending() { recorder = nullptr; }
  } const ending;
  mx::array logits = build(shared(0, {sequences_}, mx::int32));
  logits.eval();
  recording_ = nullptr;
  if (whole(recording, logits) && advanced(inputs)) {
    const auto& launches = recording.launches;
    spdlog::debug(
        "a step of {} sequences is a graph of {} launches",
        sequences_,
        launches.size());
    graph_ = std::make_unique<CudaGraph>(std::move(recording.launches));
    held_ = std::move(recording.held);
    logits_ = logits;
    logits_here_ =
        std::make_shared<CudaMemory>(CudaMemory::Place::host, logits.nbytes());
    return fetched();
  }
  return logits;
}

mx::array CudaSteps::Step::run(const Inputs& inputs) {
  send(inputs);
  graph_->run();
  mx::array out = fetched();
  for (PageList* list : inputs.pages) {
    ++list->length;
  }
  return out;
}

// A copy for the caller: MLX would move the array that the graph writes to.
mx::array CudaSteps::Step::fetched() const {
  fetch_from_device(
      logits_here_->data(), device_address(*logits_), logits_->nbytes());
  wait_for_graphs();
  constexpr int kOfHost = -1;
  return array_at(logits_here_, 0, logits_->shape(), mx::float32, kOfHost);
}

std::optional<StepTables> recorded_tables(const PageList& first) {
  return recorder ? recorder(first) : std::nullopt;
}

CudaSteps::CudaSteps() = default;
CudaSteps::~CudaSteps() = default;
CudaSteps::CudaSteps(CudaSteps&&) noexcept = default;
CudaSteps& CudaSteps::operator=(CudaSteps&&) noexcept = default;

bool CudaSteps::takes(int sequences) const {
  static const bool possible = wanted();
  return possible && cuda_kernels_active() && !refused_.contains(sequences);
}

mx::array CudaSteps::run(const Inputs& inputs, const Build& build) {
  const auto found = std::ranges::find_if(
      steps_, [&](const auto& step) { return step->is_for(inputs); });
  if (found != steps_.end() && (*found)->fits(inputs)) {
    std::rotate(steps_.begin(), found, found + 1);
    return steps_.front()->run(inputs);
  }
  if (found != steps_.end()) {
    steps_.erase(found);
  }
  auto step = std::make_unique<Step>(inputs);
  mx::array logits = step->record(inputs, build);
  if (!step->recorded()) {
    refused_.insert(static_cast<int>(inputs.ids.size()));
    return logits;
  }
  steps_.insert(steps_.begin(), std::move(step));
  steps_.resize(std::min(steps_.size(), kMostSteps));
  return logits;
}

}  // namespace rapid
