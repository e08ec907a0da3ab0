#include "core/parallel.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace pyncnnq {

size_t available_cores() {
#ifdef __linux__
    // A machine with more cores than a cpu_set_t has room for makes this fail.
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return static_cast<size_t>(CPU_COUNT(&allowed));
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}

void run_on_cores(size_t most, const std::function<void()>& work) {
    const size_t count = std::min(most, available_cores());
    // An exception must not leave a thread, nor this function before all threads have ended.
    std::exception_ptr failure;
    std::mutex failing;
    const auto guarded = [&] {
        try {
            work();
        } catch (...) {
            const std::lock_guard<std::mutex> lock(failing);
            if (!failure) failure = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(count);
    try {
        while (threads.size() + 1 < count) threads.emplace_back(guarded);
    } catch (const std::exception&) {
        // The system has no more threads, or no memory for one: those that run do the work.
    }
    guarded();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace pyncnnq
