import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.StateRestoreListener;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.ReadOnlyKeyValueStore;

/**
 * Bench is Kafka Streams doing the work of the benchmark. A job comes as arguments of the form name=value, its outcome goes
 * out as one line of JSON.
 */
public final class Bench {
    private static final String STORE = "table";
    private static final int NUMBER_BYTES = 10;

    private final Map<String, String> job = new HashMap<>();
    private final long idle = peakMemory();
    private final Clock clock;
    private final AtomicLong restored = new AtomicLong();
    private final CountDownLatch running = new CountDownLatch(1);
    private final CountDownLatch told = new CountDownLatch(1);
    private volatile Throwable failure;

    private Bench(String[] args) {
        for (String arg : args) {
            int at = arg.indexOf('=');
            job.put(arg.substring(0, at), arg.substring(at + 1));
        }
        clock = new Clock(number("records"));
    }

    public static void main(String[] args) throws Exception {
        Bench bench = new Bench(args);
        Outcome out = bench.run();
        if (out != null) {
            out.idle = bench.idle;
            out.print();
            System.exit(0);
        }
    }

    private Outcome run() throws Exception {
        switch (job.get("work")) {
            case "count":
                return handle(counting(clock::tick));
            case "pass":
                return handle(passing());
            case "map":
                return handle(mapping());
            case "restore":
                return restore();
            case "restart":
                return restart();
            case "lookup":
                return lookup();
            default:
                throw new IllegalArgumentException("no work " + job.get("work"));
        }
    }

    private long number(String name) {
        return Long.parseLong(job.getOrDefault(name, "0"));
    }

    private Properties settings() {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, job.get("group"));
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("brokers"));
        p.put(StreamsConfig.STATE_DIR_CONFIG, job.get("dir"));
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, job.get("guarantee"));
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, job.get("threads"));
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, job.get("commit"));
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        p.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        if (job.containsKey("session")) {
            p.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, job.get("session"));
            p.put(ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, String.valueOf(number("session") / 3));
        }
        // A GlobalKTable is restored one partition after the other, and the request that waits at the end of one holds up the next.
        p.put(StreamsConfig.globalConsumerPrefix(ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG), "50");
        if ("false".equals(job.get("cache"))) {
            p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, "0");
        }
        return p;
    }

    private KStream<String, byte[]> input(StreamsBuilder builder) {
        return builder.stream(job.get("topic"), Consumed.with(Serdes.String(), Serdes.ByteArray()));
    }

    private Topology counting(Runnable tick) {
        StreamsBuilder builder = new StreamsBuilder();
        input(builder).peek((key, value) -> tick.run()).groupByKey()
            .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as(STORE));
        return builder.build();
    }

    /** Counts each record, and hands it on. */
    private Topology passing() {
        StreamsBuilder builder = new StreamsBuilder();
        KStream<String, byte[]> records = input(builder).peek((key, value) -> clock.tick());
        records.groupByKey().count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as(STORE));
        records.to(job.get("output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
        return builder.build();
    }

    private Topology mapping() {
        StreamsBuilder builder = new StreamsBuilder();
        input(builder).peek((key, value) -> clock.tick()).filter((key, value) -> numberOf(value) % 2 == 0).mapValues(Bench::upper)
            .to(job.get("output"), Produced.with(Serdes.String(), Serdes.ByteArray()));
        return builder.build();
    }

    private KafkaStreams start(Topology topology) {
        KafkaStreams streams = new KafkaStreams(topology, settings());
        streams.setUncaughtExceptionHandler(e -> {
            failure = e;
            running.countDown();
            told.countDown();
            clock.give();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setGlobalStateRestoreListener(new StateRestoreListener() {
            @Override
            public void onRestoreStart(TopicPartition partition, String store, long from, long to) {
            }

            @Override
            public void onBatchRestored(TopicPartition partition, String store, long end, long count) {
                restored.addAndGet(count);
            }

            @Override
            public void onRestoreEnd(TopicPartition partition, String store, long total) {
            }
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                running.countDown();
            }
        });
        streams.start();
        return streams;
    }

    private void check() throws Exception {
        if (failure != null) {
            throw new Exception("Kafka Streams has failed", failure);
        }
    }

    /** Handles all records, and ends its time when every offset, and so every effect, is in Kafka. */
    private Outcome handle(Topology topology) throws Exception {
        KafkaStreams streams = start(topology);
        clock.await();
        check();
        awaitCommitted();
        Outcome out = clock.stop();
        out.peak = peakMemory();
        streams.close();
        check();
        return out;
    }

    private void awaitCommitted() throws Exception {
        Properties p = new Properties();
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, job.get("brokers"));
        try (Admin admin = Admin.create(p)) {
            long committed = -1;
            while (committed != number("records")) { // the topic is read from its beginning and has no gaps
                check();
                Thread.sleep(2);
                committed = admin.listConsumerGroupOffsets(job.get("group")).partitionsToOffsetAndMetadata().get()
                    .values().stream().mapToLong(OffsetAndMetadata::offset).sum();
            }
        }
    }

    /** Keeps the whole topic in one process, as a view does: a GlobalKTable is restored from it before anything runs. */
    private Topology view() {
        StreamsBuilder builder = new StreamsBuilder();
        builder.globalTable(job.get("topic"), Consumed.with(Serdes.String(), Serdes.ByteArray()),
            Materialized.<String, byte[], KeyValueStore<Bytes, byte[]>>as(STORE));
        return builder.build();
    }

    private Outcome restore() throws Exception {
        Outcome out = new Outcome();
        long began = System.nanoTime();
        KafkaStreams streams = start(view());
        running.await();
        check();
        out.seconds = (System.nanoTime() - began) / 1e9;
        out.peak = peakMemory();
        out.restored = restored.get();
        try (KeyValueIterator<String, byte[]> all = store(streams).all()) {
            while (all.hasNext()) {
                out.rows++;
                out.sum += numberOf(all.next().value);
            }
        }
        streams.close();
        return out;
    }

    private ReadOnlyKeyValueStore<String, byte[]> store(KafkaStreams streams) {
        return streams.store(StoreQueryParameters.fromNameAndType(STORE, QueryableStoreTypes.<String, byte[]>keyValueStore()));
    }

    /** Counts until it is told to end (SIGTERM), and times its first record from the start of the process. */
    private Outcome restart() throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        AtomicInteger status = new AtomicInteger(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            told.countDown();
            try {
                done.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            Runtime.getRuntime().halt(status.get()); // else the status would be that of a process which a signal has ended
        }));
        try {
            countUntilTold().print();
            status.set(0);
        } finally {
            done.countDown();
        }
        return null;
    }

    private Outcome countUntilTold() throws Exception {
        long began = number("began");
        AtomicLong first = new AtomicLong();
        KafkaStreams streams = start(counting(() -> {
            if (first.get() == 0) {
                first.compareAndSet(0, microsNow());
            }
        }));
        told.await();
        Outcome out = new Outcome();
        out.seconds = Math.max(0, first.get() - began) / 1e6;
        out.restored = restored.get();
        out.idle = idle;
        out.peak = peakMemory();
        streams.close(CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
        check();
        return out;
    }

    private static long microsNow() {
        return ChronoUnit.MICROS.between(Instant.EPOCH, Instant.now());
    }

    /** Readers ask for every key, in an order of their own, again and again: rows and sum are those of one time through all of them. */
    private Outcome lookup() throws Exception {
        KafkaStreams streams = start(view());
        running.await();
        check();
        ReadOnlyKeyValueStore<String, byte[]> store = store(streams);
        List<String> keys = new ArrayList<>();
        for (long i = 0; i < number("keys"); i++) {
            keys.add(String.format(Locale.ROOT, "key-%08d", i));
        }
        int readers = (int) number("readers");
        List<List<String>> orders = new ArrayList<>();
        for (int i = 0; i < readers; i++) {
            List<String> order = new ArrayList<>(keys);
            Collections.shuffle(order, new Random(i));
            orders.add(order);
        }
        ExecutorService pool = Executors.newFixedThreadPool(readers);
        long began = System.nanoTime();
        long until = began + number("lookupTime") * 1_000_000;
        List<Future<Outcome>> reading = new ArrayList<>();
        for (List<String> order : orders) {
            reading.add(pool.submit(() -> read(store, order, until)));
        }
        Outcome out = new Outcome();
        for (Future<Outcome> of : reading) {
            Outcome found = of.get();
            if (out.readers++ == 0) {
                out.rows = found.rows;
                out.sum = found.sum;
            }
            if (found.rows != out.rows || found.sum != out.sum) {
                throw new Exception("readers differ");
            }
            out.lookups += found.lookups;
        }
        out.seconds = (System.nanoTime() - began) / 1e9;
        out.peak = peakMemory();
        pool.shutdown();
        streams.close();
        return out;
    }

    private static Outcome read(ReadOnlyKeyValueStore<String, byte[]> store, List<String> keys, long until) throws Exception {
        Outcome first = null;
        long lookups = 0;
        do {
            Outcome found = new Outcome();
            for (String key : keys) {
                byte[] value = store.get(key);
                if (value != null) {
                    found.rows++;
                    found.sum += numberOf(value);
                }
            }
            if (first == null) {
                first = found;
            }
            if (found.rows != first.rows || found.sum != first.sum) {
                throw new Exception("a reader finds something else again");
            }
            lookups += keys.size();
        } while (System.nanoTime() < until);
        first.lookups = lookups;
        return first;
    }

    private static long numberOf(byte[] value) {
        long n = 0;
        for (int i = 0; i < NUMBER_BYTES; i++) {
            n = n * 10 + value[i] - '0';
        }
        return n;
    }

    private static byte[] upper(byte[] value) {
        byte[] out = value.clone();
        for (int i = 0; i < out.length; i++) {
            if (out[i] >= 'a' && out[i] <= 'z') {
                out[i] -= 'a' - 'A';
            }
        }
        return out;
    }

    /** The most memory this process has had resident so far, in bytes; 0 where the system does not tell. */
    private static long peakMemory() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
                }
            }
        } catch (java.io.IOException e) {
            return 0;
        }
        return 0;
    }

    /** Times the handling of a number of records, by any number of threads. */
    private static final class Clock {
        private final long records;
        private final long quarter;
        private final AtomicLong handled = new AtomicLong();
        private final CountDownLatch last = new CountDownLatch(1);
        private volatile long began;
        private volatile long warm;

        Clock(long records) {
            this.records = records;
            this.quarter = Math.max(1, records / 4);
        }

        void tick() {
            long now = handled.incrementAndGet();
            if (now == 1) {
                began = System.nanoTime();
            }
            if (now == quarter) {
                warm = System.nanoTime();
            }
            if (now == records) {
                last.countDown();
            }
        }

        void await() throws InterruptedException {
            last.await();
        }

        void give() {
            last.countDown();
        }

        Outcome stop() {
            Outcome out = new Outcome();
            long now = System.nanoTime();
            out.seconds = (now - began) / 1e9;
            out.warm = (now - warm) / 1e9;
            return out;
        }
    }

    private static final class Outcome {
        private double seconds;
        private double warm;
        private long rows;
        private long sum;
        private long lookups;
        private long readers;
        private long restored;
        private long idle;
        private long peak;

        void print() {
            System.out.println(String.format(Locale.ROOT, "{\"Seconds\":%.9f,\"Warm\":%.9f,\"Rows\":%d,\"Sum\":%d,\"Lookups\":%d,\"Readers\":%d,"
                + "\"Restored\":%d,\"Idle\":%d,\"Peak\":%d}", seconds, warm, rows, sum, lookups, readers, restored, idle, peak));
            System.out.flush();
        }
    }
}
