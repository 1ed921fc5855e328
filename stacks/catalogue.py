"""The single list of architectures: the command line, the README, the docs and the tests all read it.

Pure data. It names stacks and scenarios by dotted string and imports neither, so that reading it is quick and drags
in no CDK. Whether a service is open to a new AWS account is not said here but in `services.toml`, by name.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from typing import Literal, get_args

Theme = Literal["vision", "documents", "language", "recommend", "ingest", "train", "serve", "operate", "secure"]
Status = Literal["available", "planned"]

THEMES: tuple[Theme, ...] = get_args(Theme)


@dataclass(frozen=True)
class Restriction:
    """A variant that a new AWS account cannot use, and what the default stack does in its place.

    `service` is an entry of `services.toml`, which says since when, and by which source. Where that entry is `closed`,
    accounts that used the service before may opt in to the variant; where it is `ended`, nobody can.
    """

    service: str
    default: str


@dataclass(frozen=True)
class Architecture:
    """One architecture: what it is for, how data flows through it, and where its parts are found.

    `services` holds short names of the AWS services that the default stack uses; a name that `services.toml` lists has
    its availability there. `needs` are the ids of architectures whose stacks this one imports from: they are deployed
    before it. `stack` and `scenario` are dotted ("package.module:Class" and "package.module"); a planned architecture
    has no scenario, and a stack only while it is being built. `cost_idle` is US dollars a month with no input,
    `cost_per_thousand` US dollars for a thousand inputs, both in us-east-1 without free tier, and None while unbuilt;
    the architecture's page shows the sum. `cost_standing` is US dollars a month of what its use leaves standing, an
    endpoint with the default settings, on top of `cost_idle`. `idle_ceiling` is what the default stack may cost a month
    while idle at most: a bound that is raised on purpose, not by the way. `models` says which models a local cloud
    needs beyond those of every set-up (`requirements/`): `language` for documents, text and speech, `training` for
    models that are trained here.
    `sensitive` marks data about people's health, faces or money: such a stack must pass the rules of HIPAA, NIST 800-53
    and PCI too.
    """

    id: str
    title: str
    theme: Theme
    story: str
    flow: str
    services: tuple[str, ...]
    facts: tuple[str, ...] = ()
    availability: tuple[Restriction, ...] = ()
    needs: tuple[str, ...] = ()
    status: Status = "planned"
    stack: str | None = None
    scenario: str | None = None
    sensitive: bool = False
    models: Literal["", "language", "training"] = ""
    cost_idle: float | None = None
    cost_per_thousand: float | None = None
    cost_standing: float | None = None
    idle_ceiling: float = 10.0

    @property
    def page(self) -> str:
        """Where the page of this architecture lies once it is built, from the project's root."""
        return f"docs/architectures/{self.id}.md"


@dataclass(frozen=True)
class Page:
    """A service or technique that gets a page (what it was for, its status, what serves today) and no stack."""

    name: str
    status: Status = "planned"


class UnknownArchitectureError(LookupError):
    """Nothing in the catalogue has this id. `str()` is one line that names the close ones."""


_VISION = (
    Architecture(
        id="image-labeling",
        title="Label every uploaded image",
        theme="vision",
        story="A team drops photographs into a bucket and wants to know what is in each, without ever losing one.",
        flow="S3 upload under a prefix → EventBridge → SQS with DLQ → Lambda (preprocess, DetectLabels) → DynamoDB",
        services=(
            "s3",
            "eventbridge",
            "sqs",
            "lambda",
            "rekognition",
            "dynamodb",
            "cloudwatch",
            "sns",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "Labels form a hierarchy, with a confidence each and boxes for countable objects.",
            "The queue keeps the calls below Rekognition's transactions-per-second quota.",
            "An object smaller than 5 % of the image's shorter side is found unreliably: such boxes are flagged.",
        ),
        status="available",
        stack="stacks.vision.image_labeling:ImageLabeling",
        scenario="scenarios.image_labeling",
        cost_idle=3.66,
        cost_per_thousand=1.03,
    ),
    Architecture(
        id="image-analysis",
        title="Analyse an image archive",
        theme="vision",
        story="A media company without ML skills wants persons, objects, text and unsafe content found in its archive.",
        flow=(
            "S3 inventory → Step Functions Map → labels, text, faces, protective equipment, moderation"
            " (doubtful ones to a person) → DynamoDB and search"
        ),
        services=("s3", "step-functions", "lambda", "rekognition", "dynamodb", "opensearch"),
        facts=("Protective equipment is detected in still images only.",),
        availability=(
            Restriction("rekognition-bulk-analysis", "a Map state that calls the per-image operations"),
            Restriction("augmented-ai", "a task token and the project's own review page"),
        ),
    ),
    Architecture(
        id="face-search",
        title="Search faces in a collection",
        theme="vision",
        story="An access desk compares a visitor's photograph with the faces that people have agreed to register.",
        flow="IndexFaces into a collection → SearchFacesByImage → match above a threshold → DynamoDB",
        services=("s3", "lambda", "rekognition", "dynamodb", "kms"),
        facts=("Faces are biometric data: consent, retention and deletion are part of the architecture.",),
        sensitive=True,
    ),
    Architecture(
        id="video-analysis",
        title="Label stored video",
        theme="vision",
        story="Uploaded videos are searched for what they show, minute by minute.",
        flow=(
            "S3 video → Lambda → StartLabelDetection with an SNS channel → SNS → SQS → Lambda"
            " → paginated GetLabelDetection → DynamoDB and S3"
        ),
        services=("s3", "lambda", "rekognition", "sns", "sqs", "dynamodb"),
        facts=("Image operations answer at once, video operations start a job.", "A failed job is a message too."),
        availability=(Restriction("rekognition-people-pathing", "label and face detection without paths"),),
    ),
    Architecture(
        id="video-stream",
        title="Watch a live camera",
        theme="vision",
        story="A camera is watched for objects while it records, with as little code as possible.",
        flow="camera frames → Kinesis Data Streams → Lambda → DetectLabels → DynamoDB and S3",
        services=("kinesis-data-streams", "lambda", "rekognition", "dynamodb", "s3"),
        facts=("Kinesis Video Streams carries audio and radar too, not video alone.",),
        availability=(Restriction("rekognition-streaming-video", "frames on a data stream, labelled one by one"),),
    ),
    Architecture(
        id="video-frames",
        title="Cut video into training frames",
        theme="vision",
        story="Video becomes frames for training; the extraction code is too large for a Lambda layer.",
        flow="S3 video → Step Functions Map → Lambdas that share code and frames on EFS → frames in S3 → training",
        services=("s3", "step-functions", "lambda", "efs", "vpc"),
    ),
    Architecture(
        id="custom-vision",
        title="Recognise a business's own objects",
        theme="vision",
        story="A shop wants its own products recognised, of which no general model has ever heard.",
        flow=(
            "labelled images → Custom Labels project → DescribeProjectVersions → start with inference units"
            " → DetectCustomLabels → stop"
        ),
        services=("s3", "rekognition-custom-labels", "step-functions", "lambda"),
        facts=(
            "Transfer learning freezes the first layers and trains the last.",
            "Precision, recall and F1 decide whether a version is started.",
            "A started model is billed until it is stopped; beyond some load a hosted model is cheaper.",
        ),
    ),
    Architecture(
        id="defect-inspection",
        title="Find defects on a production line",
        theme="vision",
        story="A knife factory looks for scratches on handles and owns only a few dozen labelled pictures.",
        flow="S3 image → detector locates the region → crop → second model judges it → DynamoDB and SNS",
        services=("s3", "lambda", "step-functions", "sagemaker", "dynamodb", "sns"),
        facts=("About thirty images are enough to begin with.",),
        availability=(Restriction("lookout-for-vision", "two models of its own on SageMaker"),),
    ),
    Architecture(
        id="helmet-detection",
        title="Detect helmets in sports footage",
        theme="vision",
        story="A league wants head impacts found in footage that nobody has labelled yet.",
        flow="video → frames → label → train an object detector → preprocessing and model deployed together",
        services=("s3", "step-functions", "sagemaker", "lambda"),
        facts=("Spans labeling, training-job and inference-pipeline.",),
        availability=(Restriction("sagemaker-ground-truth", "labelling by task token"),),
    ),
)

_DOCUMENTS = (
    Architecture(
        id="document-processing",
        title="Read forms and documents",
        theme="documents",
        story="A medical insurer reads millions of scanned forms; people check what the machine is unsure of.",
        flow=(
            "S3 document → Step Functions: Textract job → SNS → task token → Map over paragraphs: Comprehend"
            " → Choice on confidence → human review → DynamoDB and S3"
        ),
        services=(
            "s3",
            "eventbridge",
            "sqs",
            "step-functions",
            "textract",
            "sns",
            "lambda",
            "comprehend",
            "api-gateway",
            "dynamodb",
            "secrets-manager",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "One-page images can be read synchronously; PDFs of many pages are a job.",
            "Detect gives text, Analyze gives forms and tables too.",
            "Textract extracts, Comprehend classifies.",
            "The Map has a concurrency limit, so that Comprehend's quota holds.",
        ),
        availability=(Restriction("augmented-ai", "a task token and the project's own review page"),),
        status="available",
        stack="stacks.documents.document_processing:DocumentProcessing",
        scenario="scenarios.document_processing",
        sensitive=True,
        models="language",
        cost_idle=6.48,
        cost_per_thousand=213.66,
    ),
    Architecture(
        id="enterprise-search",
        title="Ask questions of a document store",
        theme="documents",
        story="A law firm asks its own documents questions in plain language and gets ranked passages.",
        flow="S3 documents and FAQ → index, data source sync → question → ranked passages; feedback, synonyms, filters",
        services=("s3", "bedrock-knowledge-bases", "lambda", "api-gateway", "vpc"),
        facts=("Queries are factual, descriptive or mere keywords.", "A VPC reaches it by an interface endpoint."),
        availability=(Restriction("kendra", "a Bedrock knowledge base"),),
    ),
)

_LANGUAGE = (
    Architecture(
        id="call-analytics",
        title="Understand recorded calls",
        theme="language",
        story="A hotel chain takes calls in several languages and wants to know what its guests say and feel.",
        flow=(
            "S3 audio → EventBridge → SQS with DLQ → Step Functions: Transcribe jobs (language, then redacted)"
            " → Translate → Comprehend → DynamoDB and S3, and a spoken summary by Polly"
        ),
        services=(
            "s3",
            "eventbridge",
            "sqs",
            "step-functions",
            "lambda",
            "transcribe",
            "translate",
            "comprehend",
            "polly",
            "dynamodb",
            "sns",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "Redaction has a list of languages of its own, and does not go together with the identification of the"
            " language: an unknown language takes two jobs.",
            "Custom terminology keeps hotel names untranslated.",
            "Small texts are translated at once, large ones by a job.",
        ),
        status="available",
        stack="stacks.language.call_analytics:CallAnalytics",
        scenario="scenarios.call_analytics",
        sensitive=True,
        models="language",
        cost_idle=5.42,
        cost_per_thousand=323.19,
    ),
    Architecture(
        id="text-insights",
        title="Find entities, sentiment and personal data in text",
        theme="language",
        story="Reviews and news arrive all day; what is said, about whom and in which mood is kept.",
        flow="texts → SQS with DLQ → Lambda, up to 25 at once (batched Comprehend calls by language) → DynamoDB",
        services=("sqs", "lambda", "comprehend", "dynamodb", "cloudwatch", "sns", "x-ray", "kms", "iam"),
        facts=(
            "A batch call takes 25 documents of 5,000 bytes each; sizes are counted in UTF-8 bytes.",
            "Personal data is found text by text, in English and Spanish.",
            "Custom classifiers and recognizers are trained as jobs, then served by an endpoint.",
            "A Comprehend model stays in Comprehend; a BlazingText one can be taken along.",
        ),
        availability=(Restriction("comprehend-topic-modeling", "the Neural Topic Model on SageMaker"),),
        status="available",
        stack="stacks.language.text_insights:TextInsights",
        scenario="scenarios.text_insights",
        models="language",
        cost_idle=3.66,
        cost_per_thousand=1.51,
    ),
    Architecture(
        id="email-filter",
        title="Sort mail by its subject",
        theme="language",
        story="Incoming mail is classified by its subject line; what nobody needs is dropped, the rest is passed on.",
        flow="mail → classify the subject → Choice → delete or forward",
        services=("ses", "s3", "step-functions", "lambda", "comprehend"),
        facts=("Judged by F1, since unwanted mail is the minority.",),
    ),
    Architecture(
        id="summarization",
        title="Summarise an archive",
        theme="language",
        story="A publisher wants a few sentences for each article of its archive.",
        flow="articles in S3 → batch transform with a sequence-to-sequence model → summaries in S3",
        services=("s3", "step-functions", "sagemaker"),
        facts=("A Bedrock model does the same without training.",),
    ),
    Architecture(
        id="speech-synthesis",
        title="Turn text into speech",
        theme="language",
        story="An editor drops texts into a bucket and finds them spoken: short ones at once, long ones soon.",
        flow=(
            "S3 upload of text or SSML under a prefix → EventBridge → SQS with DLQ → Lambda (Polly: an answer, or a"
            " task that tells SNS → SQS → Lambda when it has ended) → MP3 or OGG in S3, result in DynamoDB"
        ),
        services=(
            "s3",
            "eventbridge",
            "sqs",
            "lambda",
            "polly",
            "sns",
            "dynamodb",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "Voices come in several engines; not every voice has each.",
            "An answer takes 3,000 billed characters, a task 100,000; tags of SSML are not billed.",
            "A task writes to the bucket and tells the topic with the rights of its caller.",
        ),
        status="available",
        stack="stacks.language.speech_synthesis:SpeechSynthesis",
        scenario="scenarios.speech_synthesis",
        models="language",
        cost_idle=4.02,
        cost_per_thousand=16.03,
    ),
    Architecture(
        id="appointment-bot",
        title="Book appointments by conversation",
        theme="language",
        story="Callers book, look up and move an appointment by talking to a bot that hands over when it is lost.",
        flow=(
            "Lex V2 bot (intents, utterances, slots) → Lambda code hook → DynamoDB and Aurora; fallback intent"
            " → search or a person"
        ),
        services=("lex-v2", "lambda", "dynamodb", "aurora", "translate", "polly"),
        facts=(
            "Built-in slot types cover dates, names, numbers, mail addresses and times.",
            "Slots are elicited and confirmed; the fallback after retries is built in.",
            "A bot that understands little wants more sample utterances.",
        ),
        availability=(Restriction("lex-v1", "Lex V2"),),
        sensitive=True,
    ),
)

_RECOMMEND = (
    Architecture(
        id="recommendations",
        title="Recommend items to users",
        theme="recommend",
        story="A video site shows each viewer what that viewer may like next, and learns every night.",
        flow=(
            "S3 interactions, items, users → Step Functions: dataset group, schemas, imports → solution → version"
            " → campaign; event tracker; API → GetRecommendations; batch; filters; nightly training"
        ),
        services=("s3", "step-functions", "personalize", "api-gateway", "lambda", "eventbridge"),
        facts=(
            "Interactions need a timestamp.",
            "A recipe fits a question: personal choice, popularity, ranking, related items.",
            "Judged by precision@K, MRR@K and NDCG on held-out interactions.",
            "With fewer than a hundred items, factorization machines do.",
        ),
    ),
    Architecture(
        id="personalized-outreach",
        title="Send each customer a fitting message",
        theme="recommend",
        story="Marketing sends segments of customers what each of them is likely to want.",
        flow="batch recommendations → segments → SMS, push, e-mail",
        services=("s3", "step-functions", "personalize", "ses", "end-user-messaging"),
        availability=(Restriction("pinpoint", "End User Messaging and SES"),),
    ),
    Architecture(
        id="demand-forecast",
        title="Forecast demand",
        theme="recommend",
        story="A warehouse wants to know how much of each item it will need, and how sure that is.",
        flow="S3 series, related series, item metadata → train → quantiles p10, p50, p90",
        services=("s3", "step-functions", "sagemaker"),
        facts=(
            "Backtests use expanding or sliding windows, never random folds.",
            "Judged by RMSE, WAPE and weighted quantile loss; a higher quantile when running out is the costly error.",
            "Few series: ARIMA, ETS, Prophet. Hundreds: DeepAR, CNN-QR.",
            "DeepAR needs related data over the horizon as well.",
            "Variant cohort-forecast: a Map over cohorts, one model each.",
        ),
        availability=(Restriction("forecast", "SageMaker AutoML V2 or DeepAR"),),
    ),
    Architecture(
        id="customer-segmentation",
        title="Group customers without labels",
        theme="recommend",
        story="A shop finds groups among its customers and looks for what else each would buy.",
        flow="S3 → scale → PCA → k-means for several k → elbow → segments → cross-selling query",
        services=("s3", "step-functions", "sagemaker", "athena"),
    ),
    Architecture(
        id="anomaly-detection",
        title="Find what is out of the ordinary",
        theme="recommend",
        story="Sales or machine sensors are watched; what deviates is graded, grouped by cause and reported.",
        flow="stream or S3 → Random Cut Forest → severity, grouping by cause → alarm",
        services=("s3", "kinesis-data-streams", "lambda", "sagemaker", "cloudwatch", "sns"),
        facts=(
            "Scores more than three standard deviations above their mean are anomalies.",
            "Unsupervised, and it needs no GPU.",
            "Rules come first, the model second.",
        ),
        availability=(
            Restriction("lookout-for-metrics", "Random Cut Forest and CloudWatch anomaly detection"),
            Restriction("lookout-for-equipment", "Random Cut Forest on sensor data"),
        ),
    ),
    Architecture(
        id="loan-review",
        title="Let people check doubtful decisions",
        theme="recommend",
        story="A bank must have a person look at every loan decision of which the model is not sure.",
        flow="request → endpoint → Choice: below 90 % confidence → human review → files in S3",
        services=("api-gateway", "step-functions", "sagemaker", "lambda", "s3", "eventbridge"),
        facts=("A review ends completed, failed or stopped, each with an event.",),
        availability=(Restriction("augmented-ai", "a task token and the project's own review page"),),
        sensitive=True,
    ),
)

_INGEST = (
    Architecture(
        id="stream-ingestion",
        title="Land a stream in the lake",
        theme="ingest",
        story="Clicks arrive by the thousand each second and must be queryable minutes later.",
        flow=(
            "producers → Kinesis Data Streams → Firehose (Lambda transform, JSON to Parquet by the Glue schema, raw"
            " backup) → S3 → Glue Catalog → Athena"
        ),
        services=("kinesis-data-streams", "data-firehose", "lambda", "s3", "glue", "athena"),
        facts=(
            "A shard takes 1 MB or 1,000 records a second and gives 2 MB or five reads a second.",
            "Records are kept from 24 hours to a year.",
            "Firehose fills Redshift by way of S3 and COPY.",
            "Variants: Firehose alone; kafka-ingestion with MSK.",
        ),
    ),
    Architecture(
        id="stream-analytics",
        title="Compute over a moving window",
        theme="ingest",
        story="A factory wants averages over its sensors as they happen, and an alarm when they leave their range.",
        flow="stream → windowed SQL → stream → DynamoDB dashboard, alarm on SNS",
        services=("kinesis-data-streams", "managed-flink", "data-firehose", "lambda", "dynamodb", "sns"),
        availability=(Restriction("kinesis-analytics-sql", "Managed Service for Apache Flink"),),
    ),
    Architecture(
        id="event-driven-etl",
        title="Transform each file as it arrives",
        theme="ingest",
        story="Suppliers drop files at odd hours; each is cleaned as it comes, with no server waiting.",
        flow="S3 prefix → EventBridge → Glue job (PySpark) → curated Parquet → crawler → catalog",
        services=("s3", "eventbridge", "lambda", "glue"),
        facts=("Variant: a SageMaker processing job in place of Glue.",),
    ),
    Architecture(
        id="low-code-prep",
        title="Prepare data without code",
        theme="ingest",
        story="An analyst cleans data with a recipe of ready-made steps and schedules it.",
        flow="S3, Redshift or Aurora → DataBrew dataset and recipe → scheduled job → S3",
        services=("s3", "glue-databrew", "eventbridge"),
        facts=("Data Wrangler, its counterpart for ML, lives in SageMaker Canvas now.",),
    ),
    Architecture(
        id="database-migration",
        title="Bring a database to AWS",
        theme="ingest",
        story="A company's PostgreSQL moves to Aurora and keeps running meanwhile.",
        flow="source database → DMS, with schema conversion when engines differ → Aurora, DocumentDB or S3",
        services=("dms", "aurora", "s3", "glue", "step-functions"),
        availability=(Restriction("data-pipeline", "Glue and Step Functions for data that is on AWS already"),),
    ),
    Architecture(
        id="hybrid-transfer",
        title="Copy files from a company's own site",
        theme="ingest",
        story="Files on site are copied once in bulk, then kept in step.",
        flow="files on site → DataSync, Storage Gateway or Transfer Family → S3",
        services=("datasync", "storage-gateway", "transfer-family", "s3"),
        availability=(Restriction("snow-family", "DataSync over the network"),),
    ),
    Architecture(
        id="data-lake",
        title="Share one lake between departments",
        theme="ingest",
        story="Departments keep their own buckets, and each analyst sees only the columns that are theirs to see.",
        flow="S3 buckets of several accounts + Glue Catalog + Lake Formation grants by column → Athena, EMR, Spectrum",
        services=("s3", "glue", "lake-formation", "athena", "cloudtrail"),
        facts=("The catalog is central, and access is audited.",),
    ),
    Architecture(
        id="big-data-prep",
        title="Prepare very large data with Spark",
        theme="ingest",
        story="PySpark jobs that exist already run on petabytes, on a cluster that goes when they are done.",
        flow="S3 → transient EMR cluster or EMR Serverless → S3; Redshift Spectrum where a cluster exists",
        services=("s3", "emr", "emr-serverless", "step-functions"),
        facts=("SageMaker processing has neither spot capacity nor a cluster that stays.",),
    ),
    Architecture(
        id="labeling",
        title="Have data labelled",
        theme="ingest",
        story="Pictures and sounds get labels from people, and the machine takes over what is easy.",
        flow="S3 items → labelling task, active learning labels what it is sure of → manifest in S3",
        services=("s3", "step-functions", "lambda", "dynamodb", "api-gateway"),
        facts=("Boxes or pixel masks for street scenes, genres for audio.", "Low confidence goes to people."),
        availability=(Restriction("sagemaker-ground-truth", "labelling by task token with auto-labelling"),),
    ),
    Architecture(
        id="feature-store",
        title="Keep features for training and serving",
        theme="ingest",
        story="Fraud detection uses the same features at night for training and by day for each payment.",
        flow="features → feature group, online and offline (S3, Glue) → GetRecord online, Athena join offline",
        services=("sagemaker-feature-store", "s3", "glue", "athena", "lambda"),
        facts=("A record has an id and an event time; the offline store keeps its history.",),
    ),
    Architecture(
        id="shared-files",
        title="Train from a shared file system",
        theme="ingest",
        story="Notebooks and training jobs work on the same files without copying them first.",
        flow="EFS shared by notebooks and training; FSx for Lustre linked to S3; FSx with EKS",
        services=("efs", "fsx-lustre", "s3", "sagemaker", "vpc"),
        facts=("FSx saves the copy from S3.", "Throughput follows EFS mode or FSx size."),
    ),
)

_TRAIN = (
    Architecture(
        id="training-pipeline",
        title="Train, evaluate and register a model",
        theme="train",
        story="Every step from raw table to registered model is one pipeline, and a worse model is refused.",
        flow=(
            "new data in S3, a schedule or drift → EventBridge → SageMaker pipeline: deduplicate → split before scaling"
            " → impute, encode → train XGBoost → evaluate → Condition → register or fail"
        ),
        services=(
            "s3",
            "eventbridge",
            "eventbridge-scheduler",
            "sagemaker-pipelines",
            "sagemaker",
            "ecr",
            "lambda",
            "sqs",
            "sns",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "Impute by mean when normal, by median when skewed, by a model when a quarter is missing.",
            "The metric is a parameter: recall for tumours, F1 for fraud.",
            "Class weights or SMOTE change the training set only; the test set keeps its distribution.",
            "Trees need no scaling, and XGBoost bears missing values.",
        ),
        status="available",
        stack="stacks.train.training_pipeline:TrainingPipeline",
        scenario="scenarios.training_pipeline",
        sensitive=True,
        models="training",
        cost_idle=1.30,
        cost_per_thousand=39.42,
    ),
    Architecture(
        id="ml-orchestration",
        title="Retrain when enough data has arrived",
        theme="train",
        story="New data comes in steadily; at some point it is worth a new model, which a person approves.",
        flow=(
            "S3 → EventBridge → enough new data? → Step Functions: process → train → compare with ground truth"
            " → Choice → deploy; on failure roll back and notify"
        ),
        services=("s3", "eventbridge", "step-functions", "lambda", "sagemaker", "sns"),
    ),
    Architecture(
        id="training-job",
        title="Run one secure, interruptible training job",
        theme="train",
        story="A job trains on spot capacity inside a VPC with everything encrypted, and reports how it ended.",
        flow="Step Functions → CreateTrainingJob with spot, checkpoints, VPC, keys → status-change rule → SNS",
        services=("step-functions", "sagemaker", "vpc", "kms", "eventbridge", "sns", "s3"),
        facts=(
            "Status changes come from event source aws.sagemaker.",
            "Encryption between nodes costs time and needs UDP 500 and IP protocol 50.",
            "Data comes from S3, EFS or FSx; code from a commit.",
        ),
    ),
    Architecture(
        id="distributed-training",
        title="Spread training over machines",
        theme="train",
        story="One machine is too slow or too small; the data, or else the model, is divided.",
        flow="data parallel over N instances (all-reduce, parameter server); model parallel (micro-batches)",
        services=("sagemaker", "s3", "vpc"),
        facts=("If the model fits one machine, divide the data.",),
    ),
    Architecture(
        id="lambda-training",
        title="Train a small model in a function",
        theme="train",
        story="A tiny model is refitted on every new file, in seconds, for nearly nothing.",
        flow="event → container Lambda → small model in S3",
        services=("s3", "eventbridge", "lambda", "ecr"),
        facts=("Fits about 100 MB of data and a model of some kilobytes.",),
    ),
    Architecture(
        id="hyperparameter-tuning",
        title="Search for good settings",
        theme="train",
        story="Dozens of trainings look for the best settings; hopeless ones are stopped early.",
        flow="Bayesian tuning with early stopping over several algorithms → best model → register",
        services=("sagemaker", "step-functions", "s3"),
        facts=("Random, grid or Bayesian search.", "Integer ranges, and logarithmic ones.", "Jobs are capped."),
    ),
    Architecture(
        id="automl",
        title="Let the service choose the model",
        theme="train",
        story="A table and the name of a column are all that is given.",
        flow="S3 table and target → AutoML V2 → leaderboard → deploy the best",
        services=("sagemaker-autopilot", "s3", "step-functions"),
        facts=("The type of problem is inferred.",),
    ),
    Architecture(
        id="experiments",
        title="Compare runs and trace a model's origin",
        theme="train",
        story="Months later somebody asks which data, code and settings made this model.",
        flow="runs, parameters, metrics → compare; lineage is data + container hash + commit",
        services=("sagemaker-mlflow", "s3"),
    ),
    Architecture(
        id="bias-explain",
        title="Measure bias and explain predictions",
        theme="train",
        story="A bank shows that its loan model treats age and gender fairly, and why it said no.",
        flow="data and model → bias before and after training, SHAP → report; bias on the live endpoint",
        services=("sagemaker", "s3", "step-functions", "cloudwatch"),
        facts=(
            "Before training: class imbalance, difference in proportions, KL divergence.",
            "After it: disparate impact, conditional rejection.",
        ),
        availability=(Restriction("sagemaker-clarify", "a processing job with shap and fairlearn"),),
    ),
    Architecture(
        id="training-debug",
        title="Stop hopeless training early",
        theme="train",
        story="A training that will not get better is stopped before it has cost much.",
        flow="training metrics → rules (loss not falling, overfitting, vanishing gradient, idle GPU) → stop, notify",
        services=("sagemaker", "cloudwatch", "eventbridge", "lambda", "sns"),
        availability=(Restriction("sagemaker-debugger", "CloudWatch metrics and rules"),),
    ),
)

_SERVE = (
    Architecture(
        id="realtime-endpoint",
        title="Serve a model with scaling",
        theme="serve",
        story="Predictions within milliseconds, on machines that follow the traffic.",
        flow=(
            "approved model package → EventBridge → Step Functions: model → endpoint configuration → endpoint over two"
            " zones, data capture, KMS → blue/green with rollback by alarm → target tracking"
        ),
        services=(
            "sagemaker",
            "application-auto-scaling",
            "eventbridge",
            "step-functions",
            "lambda",
            "s3",
            "ecr",
            "sqs",
            "sns",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "The container answers /ping and /invocations on port 8080.",
            "The artifact is unpacked to /opt/ml/model; deleting it breaks scaling.",
            "Target: invocations per instance, or CPU, in steps or on a schedule; cool-downs on both sides.",
            "ModelLatency is in microseconds; CPU use reaches 100 % times the number of CPUs.",
        ),
        needs=("training-pipeline",),
        status="available",
        stack="stacks.serve.realtime_endpoint:RealtimeEndpoint",
        scenario="scenarios.realtime_endpoint",
        sensitive=True,
        models="training",
        cost_idle=5.10,
        cost_per_thousand=0.03,
        cost_standing=167.90,
    ),
    Architecture(
        id="bring-your-own-model",
        title="Host a model trained elsewhere",
        theme="serve",
        story="The model was trained on site; only serving moves to AWS.",
        flow="artifact → model.tar.gz in S3 → model with own or prebuilt container → endpoint",
        services=("s3", "ecr", "sagemaker"),
    ),
    Architecture(
        id="pretrained-endpoint",
        title="Serve a pretrained model",
        theme="serve",
        story="A ready-made model is good enough, or nearly so after fine-tuning.",
        flow="pretrained model → endpoint, or fine-tune first",
        services=("sagemaker-jumpstart", "sagemaker"),
    ),
    Architecture(
        id="ab-testing",
        title="Compare two models on live traffic",
        theme="serve",
        story="A tenth of the traffic meets the new model; its share grows only while it does better.",
        flow="two variants 90/10 → metrics → UpdateEndpointWeightsAndCapacities → promote or withdraw",
        services=("sagemaker", "api-gateway", "lambda", "cloudwatch", "step-functions"),
        facts=("Business metrics decide as well as model metrics.", "Requests may name a variant, or follow rules."),
    ),
    Architecture(
        id="blue-green",
        title="Replace a model without a gap",
        theme="serve",
        story="A new version takes over, at once or little by little, and goes back by itself when alarms fire.",
        flow="new variant or fleet beside the old → all at once, canary, linear → alarms decide → old one removed",
        services=("sagemaker", "cloudwatch", "lambda"),
        facts=("Deleting and re-creating is the only way that has a gap.",),
    ),
    Architecture(
        id="shadow-testing",
        title="Try a model on live traffic unseen",
        theme="serve",
        story="The candidate gets copies of real requests; its answers are kept and never sent.",
        flow="request → serving model → client; copy → shadow model → S3",
        services=("api-gateway", "lambda", "sagemaker", "s3"),
        facts=("The shadow never slows the client.",),
    ),
    Architecture(
        id="canary-synthetics",
        title="Probe an endpoint when nobody calls",
        theme="serve",
        story="A scripted user calls the service day and night, so that a fault shows before customers come.",
        flow="scheduled script and a group of early users → CloudWatch → alarm",
        services=("cloudwatch-synthetics", "cloudwatch", "sns", "s3"),
    ),
    Architecture(
        id="multi-model",
        title="Serve thousands of models from one endpoint",
        theme="serve",
        story="One house-price model for each postal code, on a handful of machines.",
        flow="many model.tar.gz under one prefix → one endpoint → request names TargetModel",
        services=("s3", "sagemaker"),
    ),
    Architecture(
        id="async-inference",
        title="Queue large requests",
        theme="serve",
        story="Requests are large or slow, and nobody waits at the line.",
        flow="S3 payload → InvokeEndpointAsync → result in S3 → SNS; scale to zero",
        services=("s3", "sagemaker", "application-auto-scaling", "sns"),
    ),
    Architecture(
        id="serverless-inference",
        title="Serve without machines of one's own",
        theme="serve",
        story="Traffic is rare and comes in bursts; a slow first answer is fine.",
        flow="model → serverless endpoint with memory and maximum concurrency",
        services=("sagemaker", "s3"),
    ),
    Architecture(
        id="batch-transform",
        title="Predict a whole data set",
        theme="serve",
        story="Last month's customers are scored overnight, and nothing stays running.",
        flow="Step Functions Map → CreateTransformJob → S3",
        services=("step-functions", "sagemaker", "s3"),
        facts=("Input is divided over instances, output is put together again.",),
    ),
    Architecture(
        id="inference-pipeline",
        title="Chain preprocessing and model",
        theme="serve",
        story="Requests come raw and go through the same preparation as the training data.",
        flow="endpoint: preprocessing container → model container",
        services=("sagemaker", "s3"),
    ),
    Architecture(
        id="inference-api",
        title="Offer predictions as a web API",
        theme="serve",
        story="Partners call a plain HTTPS address with a key and know nothing of endpoints.",
        flow="API Gateway (key, usage plan, validation) → Lambda → endpoint; and directly by mapping templates",
        services=("api-gateway", "lambda", "sagemaker"),
    ),
    Architecture(
        id="lambda-inference",
        title="Serve a small model in a function",
        theme="serve",
        story="The model is small, the traffic uneven, the answer quick.",
        flow="API → Lambda with the model in a layer, on EFS or in its container; provisioned concurrency",
        services=("api-gateway", "lambda", "efs", "ecr"),
    ),
    Architecture(
        id="container-inference",
        title="Serve models on a container platform",
        theme="serve",
        story="Thousands of models answer within 100 ms on a mix of processors that the team already runs.",
        flow="ECR → ECS or EKS over two zones → load balancer → scaling",
        services=("ecr", "ecs", "elastic-load-balancing", "application-auto-scaling", "vpc"),
    ),
    Architecture(
        id="compiled-inference",
        title="Compile a model for its hardware",
        theme="serve",
        story="The same predictions on a smaller machine, measured before and after.",
        flow="model → compile for the target → benchmark → right-sized endpoint",
        services=("sagemaker", "s3"),
        availability=(Restriction("elastic-inference", "Inferentia or a smaller GPU instance"),),
    ),
    Architecture(
        id="sql-inference",
        title="Predict from SQL",
        theme="serve",
        story="Analysts who know only SQL ask models and AI services from their queries.",
        flow="Athena function through Lambda; Redshift ML CREATE MODEL",
        services=("athena", "lambda", "redshift", "comprehend", "s3"),
    ),
    Architecture(
        id="edge",
        title="Run a model on a device",
        theme="serve",
        story="Factory cameras predict on the spot and send back samples to learn from.",
        flow="model → Greengrass V2 component → device; sampled input and prediction → S3 → labelling",
        services=("greengrass-v2", "iot-core", "s3"),
        availability=(Restriction("sagemaker-edge-manager", "a Greengrass V2 component"),),
    ),
)

_OPERATE = (
    Architecture(
        id="model-monitor",
        title="Notice when a model drifts",
        theme="operate",
        story="The world changes and the model does not; somebody must notice before customers do.",
        flow=(
            "endpoint captures traffic → baseline → schedule → violations → CloudWatch → alarm → SNS and EventBridge"
            " → retrain"
        ),
        services=(
            "sagemaker",
            "eventbridge",
            "eventbridge-scheduler",
            "lambda",
            "s3",
            "ecr",
            "sqs",
            "sns",
            "cloudwatch",
            "x-ray",
            "kms",
            "iam",
        ),
        facts=(
            "The order matters: capture, baseline, schedule.",
            "Data drift, concept drift, model drift (needs labels from people) and bias drift.",
        ),
        availability=(
            Restriction("sagemaker-model-monitor", "a monitor job of its own that writes the same report files"),
        ),
        needs=("training-pipeline", "realtime-endpoint"),
        status="available",
        stack="stacks.operate.model_monitor:ModelMonitor",
        scenario="scenarios.model_monitor",
        sensitive=True,
        models="training",
        cost_idle=4.50,
        cost_per_thousand=17.06,
    ),
    Architecture(
        id="ml-ci-cd",
        title="Build, test and release models",
        theme="operate",
        story="A commit becomes a tested model in production, and a person says yes in between.",
        flow=(
            "commit → CodeBuild (tests, container) → train → approval → deploy to test → integration tests"
            " → deploy to production"
        ),
        services=("codepipeline", "codebuild", "codecommit", "ecr", "sns", "eventbridge", "sagemaker"),
        facts=("Accounts for development, test, production and shared services.", "GitHub joins by OIDC."),
    ),
    Architecture(
        id="ml-environment-factory",
        title="Hand out safe environments",
        theme="operate",
        story="A department asks for an ML environment and gets one that follows the rules, in minutes.",
        flow="Service Catalog product (VPC, roles, Studio) + Parameter Store + StackSets → accounts and regions",
        services=("service-catalog", "cloudformation", "systems-manager", "sagemaker", "iam"),
    ),
    Architecture(
        id="multi-region",
        title="Serve from two regions",
        theme="operate",
        story="Viewers grow from a hundred thousand to a million and must be served when a region is down.",
        flow="the same serving stack in two regions, Route 53 by geography, fail-over",
        services=("route-53", "api-gateway", "lambda", "sagemaker"),
    ),
    Architecture(
        id="model-vault",
        title="Keep models unchangeable",
        theme="operate",
        story="Auditors want the exact model that decided, years later.",
        flow="artifact with lineage tags → S3 versions under Object Lock → replication into a second region → auditor",
        services=("s3", "kms", "lambda", "iam", "x-ray"),
        facts=("Governance mode with a short retention keeps a sandbox destroyable.",),
        status="available",
        stack="stacks.operate.model_vault:ModelVault",
        scenario="scenarios.model_vault",
        cost_idle=3.00,
        cost_per_thousand=0.01,
    ),
    Architecture(
        id="cost-guard",
        title="Keep costs in sight",
        theme="operate",
        story="Idle notebooks are stopped and a budget speaks up before the bill does.",
        flow="EventBridge Scheduler → Lambda stops notebooks, and apps, that report to be idle → SNS; Budgets → SNS",
        services=(
            "budgets",
            "eventbridge-scheduler",
            "lambda",
            "sagemaker",
            "sns",
            "sqs",
            "cloudwatch",
            "x-ray",
            "iam",
        ),
        facts=(
            "No API tells when a notebook instance was last used: a script on it has to.",
            "What nobody reports is never stopped, and told: Studio's apps too, which Studio's own settings can end.",
        ),
        status="available",
        stack="stacks.operate.cost_guard:CostGuard",
        scenario="scenarios.cost_guard",
        cost_idle=0.20,
        cost_per_thousand=0.02,
    ),
    Architecture(
        id="load-test",
        title="Find what an instance can bear",
        theme="operate",
        story="Before launch the team wants a number: requests a second for each instance.",
        flow="Locust → endpoint → capacity of one instance → scaling target",
        services=("sagemaker", "cloudwatch", "ecs"),
        facts=("Find the knee on one instance first.",),
    ),
)

_SECURE = (
    Architecture(
        id="private-network",
        title="Work without the internet",
        theme="secure",
        story="Data never crosses the public internet, and each door lets through one thing only.",
        flow="VPC without internet; endpoints, each with its own policy and security group; flow logs",
        services=("vpc", "s3", "dynamodb", "comprehend", "translate", "lambda", "cloudwatch", "x-ray", "iam"),
        facts=(
            "An interface endpoint without a security group of its own gets the default one.",
            "A bucket can refuse all that does not come by its VPC endpoint.",
            "Training may use one subnet, hosting needs two.",
        ),
        status="available",
        stack="stacks.secure.private_network:PrivateNetwork",
        scenario="scenarios.private_network",
        models="language",
        cost_idle=14.40,
        # An endpoint in two zones is what the architecture is about.
        idle_ceiling=15.0,
        cost_per_thousand=1.12,
    ),
    Architecture(
        id="data-protection",
        title="Encrypt everything, share briefly",
        theme="secure",
        story="Keys belong to the customer, transport is encrypted, and access to a file runs out.",
        flow=(
            "a key, a bucket and a role for each class of data → policies that refuse old TLS and other keys → a record"
            " of every request; Lambda → links that run out"
        ),
        services=("kms", "s3", "lambda", "iam", "x-ray"),
        facts=("Synchronous AI calls keep nothing; asynchronous ones take a key for their output.",),
        status="available",
        sensitive=True,
        stack="stacks.secure.data_protection:DataProtection",
        scenario="scenarios.data_protection",
        cost_idle=3.00,
        cost_per_thousand=0.01,
    ),
    Architecture(
        id="access-control",
        title="Give each role what it needs",
        theme="secure",
        story="The scientist cannot deploy and the engineer cannot train; both sign in with their company account.",
        flow="sign-in by a broker or SAML → role of four kinds with the tag project → policy, boundary, session policy",
        services=("iam", "sagemaker", "s3", "kms", "lambda"),
        facts=("A permissions boundary grants nothing: it limits what policies grant.",),
        status="available",
        stack="stacks.secure.access_control:AccessControl",
        scenario="scenarios.access_control",
        cost_idle=1.00,
        cost_per_thousand=0.00,
    ),
    Architecture(
        id="ai-governance",
        title="Keep content out of AI training",
        theme="secure",
        story="One policy opts every account out of the use of its content, and a check proves that it holds.",
        flow="Organizations AI opt-out policy; check that asynchronous AI jobs carry a key",
        services=("organizations", "config", "lambda"),
    ),
    Architecture(
        id="secure-studio",
        title="Lock down notebooks",
        theme="secure",
        story="Scientists get notebooks that reach their data and nothing else.",
        flow="Studio domain in a VPC only; notebook instance without direct internet, KMS, lifecycle scripts",
        services=("sagemaker", "vpc", "s3", "kms", "lambda", "x-ray", "iam"),
        facts=("On a notebook instance only /home/ec2-user/SageMaker persists.",),
        needs=("private-network",),
        status="available",
        stack="stacks.secure.secure_studio:SecureStudio",
        scenario="scenarios.secure_studio",
        cost_idle=38.20,
        # A notebook instance that nobody ever stops; `cost-guard` does.
        idle_ceiling=40.0,
        cost_per_thousand=0.01,
    ),
    Architecture(
        id="audit",
        title="Know who did what, and whether it is right",
        theme="secure",
        story="Every call is on record, settings are checked by rule, and threats raise an alarm.",
        flow="CloudTrail → archive in S3 → Athena; Config rules with Lambda; GuardDuty; EventBridge → SNS",
        services=(
            "cloudtrail",
            "config",
            "guardduty",
            "eventbridge",
            "lambda",
            "athena",
            "glue",
            "s3",
            "kms",
            "sns",
            "sqs",
            "cloudwatch",
            "x-ray",
            "iam",
        ),
        facts=(
            "CloudTrail says who called what, CloudWatch how it runs, Config whether it is as it should be.",
            "InvokeEndpoint is recorded only with data events on.",
        ),
        status="available",
        stack="stacks.secure.audit:Audit",
        scenario="scenarios.audit",
        cost_idle=1.20,
        cost_per_thousand=0.01,
    ),
    Architecture(
        id="code-quality",
        title="Review and profile code",
        theme="secure",
        story="Code is checked before it is merged and measured once it runs.",
        flow="linters in CodeBuild at each change; profiling of functions",
        services=("codebuild", "codeguru-profiler", "lambda", "cloudwatch"),
        facts=("The profiler knows Python and Java.",),
        availability=(Restriction("codeguru-reviewer", "linters in CodeBuild"),),
    ),
)

ARCHITECTURES: tuple[Architecture, ...] = (
    *_VISION,
    *_DOCUMENTS,
    *_LANGUAGE,
    *_RECOMMEND,
    *_INGEST,
    *_TRAIN,
    *_SERVE,
    *_OPERATE,
    *_SECURE,
)

PAGES: tuple[Page, ...] = tuple(
    Page(name)
    for name in (
        "DeepLens",
        "DeepRacer",
        "DeepComposer",
        "Panorama",
        "Monitron",
        "Lookout for Vision",
        "Lookout for Metrics",
        "Lookout for Equipment",
        "Fraud Detector",
        "DevOps Guru",
        "HealthLake",
        "Neptune ML",
        "Braket and PennyLane",
        "SageMaker RL and RoboMaker",
        "Comprehend Medical",
        "QuickSight Q",
        "Connect Contact Lens and Voice ID",
        "Snowball and Snowcone",
        "Outposts",
        "Wavelength",
        "Local Zones",
        "ECS Anywhere and EKS Anywhere",
        "RDS on VMware",
        "Direct Connect",
        "IoT SiteWise",
        "EC2 Mac",
        "Pinpoint",
        "Amplify",
        "Device Farm",
        "Location",
        "Airflow: MWAA and the SageMaker operators",
        "Kubeflow",
        "CDK for Terraform",
        "Trusted Advisor",
        "EMR Studio",
        "S3 Select and storage classes",
    )
)


# No architecture of its own: `stacks/operate/self_destruct.py` is put beside one. It is checked and built as the others
# are, and listed with none of them. It stands here as `sandbox` knows of it and needs no CDK.
SELF_DESTRUCT = Architecture(
    id="self-destruct",
    title="Removes a sandbox's stacks when their time has come",
    theme="operate",
    story="A sandbox is forgotten on Friday and found on the invoice.",
    flow="schedule → Lambda → CloudFormation",
    services=("eventbridge-scheduler", "lambda", "cloudformation", "cloudwatch", "x-ray", "iam"),
    stack="stacks.operate.self_destruct:SelfDestruct",
    cost_idle=0.0,
)


def available() -> tuple[Architecture, ...]:
    """The architectures that are built, in the catalogue's order."""
    return tuple(architecture for architecture in ARCHITECTURES if architecture.status == "available")


def get(architecture_id: str) -> Architecture:
    """The architecture of this id, built or planned.

    Raises `UnknownArchitectureError`, a `LookupError` whose text is one line naming the close ids.
    """
    for architecture in ARCHITECTURES:
        if architecture.id == architecture_id:
            return architecture
    ids = [architecture.id for architecture in ARCHITECTURES]
    close = difflib.get_close_matches(architecture_id.strip().lower().replace("_", "-"), ids, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(close)}?" if close else "`python -m local list` shows them all."
    raise UnknownArchitectureError(f"There is no architecture {architecture_id!r}. {hint}")


def with_needs(architecture: Architecture) -> tuple[Architecture, ...]:
    """The architecture after all that it needs, in the order of deployment."""
    needed: dict[str, Architecture] = {}
    for name in architecture.needs:
        needed |= {one.id: one for one in with_needs(get(name))}
    return (*needed.values(), architecture)


def parameter_name(needed: str) -> str:
    """The template parameter that names the stack of a needed architecture: `TrainingPipelineStack`."""
    return "".join(part.capitalize() for part in needed.split("-")) + "Stack"


def main() -> int:
    """Print which further models the architecture needs that is named; the Makefile installs them."""
    try:
        print(*filter(None, (get(name).models for name in sys.argv[1:])))
    except UnknownArchitectureError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
