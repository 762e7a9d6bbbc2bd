import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.PollContext;
import io.confluent.parallelconsumer.vertx.VertxParallelEoSStreamProcessor;
import io.vertx.core.Future;
import io.vertx.core.Promise;
import io.vertx.core.Vertx;
import io.vertx.core.buffer.Buffer;
import io.vertx.core.json.DecodeException;
import io.vertx.core.json.JsonObject;
import io.vertx.ext.web.client.HttpResponse;
import io.vertx.ext.web.client.WebClient;
import io.vertx.ext.web.client.WebClientOptions;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Moderates a topic with Confluent Parallel Consumer and its Vert.x module, until SIGTERM.
 *
 * <p>Of the module's four ways, {@code vertxFuture} is the one that fits: {@code vertxHttpReqInfo}
 * sends only GET, and it, {@code vertxHttpRequest} and {@code vertxHttpWebClient} take a record for
 * done when the response is there. A future that goes on to the broker's acknowledgement of the
 * verdict is done only then, and so the library commits no offset whose verdict could be lost.
 */
public final class Moderation {
    /**
     * The documentation wants it far above the number of cores; this is twice what vLLM has in one
     * batch by vLLM's default, so that the engine always has the next prompts.
     */
    private static final int MAX_CONCURRENCY = 512;

    private static final int MAX_TOKENS = 2048;
    private static final int BAD_REQUEST = 400;
    private static final Duration DRAIN = Duration.ofSeconds(30);

    private final WebClient client;
    private final String completions;
    private final Producer<byte[], byte[]> producer;
    private final String output;
    private final String dead;

    private Moderation(
            WebClient client,
            String completions,
            Producer<byte[], byte[]> producer,
            String output,
            String dead) {
        this.client = client;
        this.completions = completions;
        this.producer = producer;
        this.output = output;
        this.dead = dead;
    }

    public static void main(String[] arguments) throws InterruptedException {
        Map<String, String> given = new HashMap<>();
        for (int at = 0; at < arguments.length; at += 2) {
            given.put(arguments[at], arguments[at + 1]);
        }
        String servers = given.get("--bootstrap-servers");
        Producer<byte[], byte[]> producer = producer(servers);
        // Whatever is wrong with the topics shows here, and no event loop waits for metadata later.
        producer.partitionsFor(given.get("--output"));
        producer.partitionsFor(given.get("--dead"));
        Vertx vertx = Vertx.vertx();
        WebClient client =
                WebClient.create(vertx, new WebClientOptions().setMaxPoolSize(MAX_CONCURRENCY));
        Moderation moderation =
                new Moderation(
                        client,
                        given.get("--engine-url") + "/v1/completions",
                        producer,
                        given.get("--output"),
                        given.get("--dead"));
        VertxParallelEoSStreamProcessor<byte[], byte[]> processor =
                new VertxParallelEoSStreamProcessor<>(
                        vertx,
                        client,
                        ParallelConsumerOptions.<byte[], byte[]>builder()
                                .consumer(consumer(servers, given.get("--group")))
                                .ordering(ProcessingOrder.UNORDERED)
                                .maxConcurrency(MAX_CONCURRENCY)
                                // the library's default, and the fastest by its documentation
                                .commitMode(CommitMode.PERIODIC_CONSUMER_ASYNCHRONOUS)
                                .build());
        processor.subscribe(List.of(given.get("--input")));
        processor.vertxFuture(moderation::moderate);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> drain(processor, producer)));
        while (!processor.isClosedOrFailed()) {
            Thread.sleep(1000);
        }
        Exception cause = processor.getFailureCause();
        if (cause != null) {
            System.err.println("Parallel Consumer gave up: " + cause);
            Runtime.getRuntime().halt(1);
        }
    }

    private static void drain(
            VertxParallelEoSStreamProcessor<byte[], byte[]> processor,
            Producer<byte[], byte[]> producer) {
        int status = 0;
        try {
            processor.closeDrainFirst(DRAIN);
            producer.close();
        } catch (RuntimeException error) {
            System.err.println("The drain failed: " + error);
            status = 1;
        }
        // a JVM that a signal ends would say 143
        Runtime.getRuntime().halt(status);
    }

    private static KafkaConsumer<byte[], byte[]> consumer(String servers, String group) {
        return new KafkaConsumer<>(
                Map.of(
                        "bootstrap.servers", servers,
                        "group.id", group,
                        "enable.auto.commit", false,
                        "auto.offset.reset", "earliest",
                        "isolation.level", "read_committed"),
                new ByteArrayDeserializer(),
                new ByteArrayDeserializer());
    }

    private static KafkaProducer<byte[], byte[]> producer(String servers) {
        return new KafkaProducer<>(
                // the lingering is the default of Kafka's next release; idempotence is this one's
                Map.of("bootstrap.servers", servers, "acks", "all", "linger.ms", 5),
                new ByteArraySerializer(),
                new ByteArraySerializer());
    }

    /** Succeeds when the record's outcome is acknowledged; the library retries what fails. */
    private Future<?> moderate(PollContext<byte[], byte[]> context) {
        ConsumerRecord<byte[], byte[]> record = context.getSingleConsumerRecord();
        if (record.value() == null) {
            return Future.succeededFuture();
        }
        String eventId;
        GuardReasoner.Exchange exchange;
        try {
            JsonObject event = new JsonObject(Buffer.buffer(record.value()));
            eventId = event.getString("id", record.topic() + "-" + record.partition() + "-" + record.offset());
            exchange = GuardReasoner.exchange(event);
        } catch (DecodeException | ClassCastException | IllegalArgumentException error) {
            return bury(record);
        }
        JsonObject request =
                new JsonObject()
                        .put("prompt", exchange.prompt())
                        .put("max_tokens", MAX_TOKENS)
                        .put("temperature", 0);
        return client.postAbs(completions)
                .sendJsonObject(request)
                .compose(response -> publish(record, eventId, exchange, response));
    }

    private Future<RecordMetadata> publish(
            ConsumerRecord<byte[], byte[]> record,
            String eventId,
            GuardReasoner.Exchange exchange,
            HttpResponse<Buffer> response) {
        if (response.statusCode() == BAD_REQUEST) {
            return bury(record); // as of a prompt that is too long, for good
        }
        if (response.statusCode() != 200) {
            return Future.failedFuture("The engine answers " + response.statusCode());
        }
        String completion =
                response.bodyAsJsonObject().getJsonArray("choices").getJsonObject(0).getString("text");
        byte[] verdict = GuardReasoner.verdict(eventId, exchange, completion).toBuffer().getBytes();
        return send(new ProducerRecord<>(output, record.key(), verdict));
    }

    private Future<RecordMetadata> bury(ConsumerRecord<byte[], byte[]> record) {
        return send(new ProducerRecord<>(dead, record.key(), record.value()));
    }

    private Future<RecordMetadata> send(ProducerRecord<byte[], byte[]> record) {
        Promise<RecordMetadata> acknowledged = Promise.promise();
        producer.send(
                record,
                (metadata, error) -> {
                    if (error == null) {
                        acknowledged.complete(metadata);
                    } else {
                        acknowledged.fail(error);
                    }
                });
        return acknowledged.future();
    }
}
